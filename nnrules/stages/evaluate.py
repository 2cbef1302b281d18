"""evaluate: the float and the integer model on the whole test split, both run by ONNX Runtime.

Inputs: graph, float, integer, dataset, optional data. Outputs: metric (JSON; null where the dataset has none).
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nnrules.catalog.stages import EvaluateOptions
from nnrules.graph.ir import Graph, load
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


def float_runner(path: Path) -> Callable[[Floats], list[Floats]]:
    """Runs a float ONNX model of one input."""
    run = _session(path)
    return lambda batch: [np.asarray(output, np.float32) for output in run(batch)]


def integer_runner(path: Path, graph: Graph) -> Callable[[Floats], list[Floats]]:
    """Runs the integer ONNX model of one input; real values are quantized on the way in, dequantized on the way out."""
    run = _session(path)
    source = graph.tensors[graph.inputs[0]]
    results = [graph.tensors[name] for name in graph.outputs]

    def infer(batch: Floats) -> list[Floats]:
        outputs = run(source.quantize(batch))
        return [tensor.dequantize(output) for tensor, output in zip(results, outputs, strict=True)]

    return infer


def _session(path: Path) -> Callable[[np.ndarray], list[np.ndarray]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(batch: np.ndarray) -> list[np.ndarray]:
        outputs: list[np.ndarray] = session.run(None, {name: batch})
        return outputs

    return run


if __name__ == "__main__":
    main(run, EvaluateOptions)
