"""The ONNX Runtime engine: a model with every wanted tensor made an output, on the CPU provider."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nnrules.graph.ir import Graph

if TYPE_CHECKING:
    import onnx


class Intermediates:
    """An ONNX model that gives its inner tensors too.

    The optimizer is off, so that no wanted tensor is fused away; one thread, so that floating-point sums repeat.
    """

    def __init__(self, model: "Path | onnx.ModelProto", names: Iterable[str]) -> None:
        """Open the model, which is changed; names it does not know are left out of the results."""
        import onnx
        import onnxruntime

        proto = onnx.load(model) if isinstance(model, Path) else model
        produced = {name for node in proto.graph.node for name in node.output}
        declared = {output.name for output in proto.graph.output}
        self.names = [name for name in names if name in produced]
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self.names if name not in declared)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """The tensors by name, batch first, in the model's own layout; a fixed batch runs piece by piece."""
        runs = [self._session.run(self.names, feed) for feed in self._feeds(inputs)]
        return {name: np.concatenate(parts) for name, parts in zip(self.names, zip(*runs, strict=True), strict=True)}

    def _feeds(self, inputs: Mapping[str, npt.NDArray[Any]]) -> Iterator[dict[str, npt.NDArray[Any]]]:
        count = len(next(iter(inputs.values())))
        batch = self._session.get_inputs()[0].shape[0]
        step = batch if isinstance(batch, int) else count
        for start in range(0, count, step):
            yield {name: array[start : start + step] for name, array in inputs.items()}


class OnnxRuntime:
    """Stock ONNX Runtime on the integer model, where images are NCHW."""

    def __init__(self, graph: Graph, model: Path) -> None:
        self._model = Intermediates(model, [node.output for node in graph.nodes])

    def run(self, samples: Mapping[str, npt.NDArray[np.int8]]) -> dict[str, npt.NDArray[np.int8]]:
        """Output of every node for int8 (N, ...) inputs."""
        results = self._model.run({name: _transposed(array, (0, 3, 1, 2)) for name, array in samples.items()})
        return {name: _transposed(array, (0, 2, 3, 1)) for name, array in results.items()}


def _transposed(array: npt.NDArray[np.int8], order: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Images, which have four axes with the batch, with their axes in another order; anything else as it is."""
    return np.ascontiguousarray(array.transpose(order)) if array.ndim == 4 else array
