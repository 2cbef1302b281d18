"""evaluate: the float and the integer model on the whole test split, both run by ONNX Runtime.

Inputs: graph, float, integer, dataset, optional data. Outputs: metric (JSON; null where the dataset has none).
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from nnrules.catalog.stages import EvaluateOptions
from nnrules.graph.formats import quantized_inputs, real_outputs
from nnrules.graph.ir import Graph, load
from nnrules.graph.runtime import session
from nnrules.stages.runner import Request, main
from nnrules.training.metric import measure
from nnrules.training.task import Floats, make_dataset


def run(request: Request[EvaluateOptions]) -> None:
    """Write {"name", "float", "integer", "samples"}."""
    graph = load(request.input("graph"))
    dataset = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    exact = measure(dataset, float_runner(request.input("float")))
    integer = measure(dataset, integer_runner(request.input("integer"), graph))
    result: dict[str, object] = {"name": None, "float": None, "integer": None, "samples": 0}
    if exact and integer:
        result = {
            "name": exact["name"],
            "float": exact["value"],
            "integer": integer["value"],
            "samples": exact["samples"],
        }
    request.output("metric").write_text(json.dumps(result) + "\n", encoding="utf-8")


def float_runner(path: Path) -> Callable[[tuple[Floats, ...]], list[Floats]]:
    """Runs a float ONNX model on an array for each of its inputs."""
    run = _session(path)
    return lambda batch: [np.asarray(output, np.float32) for output in run(batch)]


def integer_runner(path: Path, graph: Graph) -> Callable[[tuple[Floats, ...]], list[Floats]]:
    """Runs the integer ONNX model on real values in the dataset's layout; its own images are NCHW."""
    run = _session(path)
    results = [graph.tensors[name] for name in graph.outputs]

    def infer(batch: tuple[Floats, ...]) -> list[Floats]:
        arrays = quantized_inputs(graph, batch)
        outputs = run([_images(arrays[name], -1, 1) for name in graph.arguments])
        chosen = {name: arrays[name] for name in arrays if name == graph.selector}
        integers = {t.name: t.from_nhwc(_images(each, 1, -1)) for t, each in zip(results, outputs, strict=True)}
        return list(real_outputs(graph, integers | chosen).values())

    return infer


def _images(array: np.ndarray, channels: int, where: int) -> np.ndarray:
    """Images, which have four axes with the batch, with their channels moved to another axis; all else as it is."""
    return np.ascontiguousarray(np.moveaxis(array, channels, where)) if array.ndim == 4 else array


def _session(path: Path) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    opened = session(path)
    names, fixed = [each.name for each in opened.get_inputs()], opened.get_inputs()[0].shape[0]

    def run(batch: Sequence[np.ndarray]) -> list[np.ndarray]:
        count = len(batch[0])
        step = fixed if isinstance(fixed, int) else count
        feeds = [dict(zip(names, (each[i : i + step] for each in batch), strict=True)) for i in range(0, count, step)]
        parts = [opened.run(None, feed) for feed in feeds]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    return run


if __name__ == "__main__":
    main(run, EvaluateOptions)
