"""Signal to quantization noise of every layer against the float model."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnrules.graph.formats import real_outputs
from nnrules.graph.ir import Graph
from nnrules.graph.operator import Shape
from nnrules.verify.engines.onnx_runtime import Intermediates


class Sqnr:
    """Sums signal and noise over batches; both models see the same, already quantized inputs.

    10 log10(sum f^2 / sum (f - (q - zero_point) * scale)^2), f being the float tensor of the integer tensor's name.
    """

    def __init__(self, graph: Graph, float_model: Path) -> None:
        self._graph = graph
        self._model = Intermediates(float_model, [node.output for node in graph.nodes])
        self._power = dict.fromkeys(self._model.names, (0.0, 0.0))

    def add(self, samples: Mapping[str, npt.NDArray[np.int8]], integers: Mapping[str, npt.NDArray[np.int8]]) -> None:
        """Take in one batch: the graph's inputs, and the agreed integers of every node."""
        tensors = self._graph.tensors
        given = real_outputs(self._graph, samples)
        reals = self._model.run({name: tensors[name].from_nhwc(array) for name, array in given.items()})
        chosen = {name: array for name, array in samples.items() if name == self._graph.selector}
        found = real_outputs(self._graph, {name: integers[name] for name in self._power} | chosen)
        for name, (signal, noise) in self._power.items():
            real = as_nhwc(reals[name].astype(np.float64), tensors[name].shape)
            if real is not None:
                error = real - found[name]
                self._power[name] = (signal + float(np.square(real).sum()), noise + float(np.square(error).sum()))

    def decibels(self) -> list[float | None]:
        """SQNR of every node's output, to 0.01 dB.

        None where the float model has no tensor of that name and shape (the operator was fused away or made by
        lowering), where there is no signal, and where there is no noise at all.
        """
        return [_decibel(*self._power.get(node.output, (0.0, 0.0))) for node in self._graph.nodes]


def as_nhwc(array: npt.NDArray[np.float64], shape: Shape) -> npt.NDArray[np.float64] | None:
    """A batch from the float model in the layout of an integer tensor: images come as NCHW; None if it does not fit."""
    nhwc = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
    return nhwc if nhwc.shape[1:] == shape else None


def _decibel(signal: float, noise: float) -> float | None:
    return round(10 * math.log10(signal / noise), 2) if signal and noise else None
