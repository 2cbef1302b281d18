"""What a float model's activations look like on calibration data: a histogram of every tensor, by ONNX Runtime."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
import onnxruntime

from nnrules.error import UserError
from nnrules.graph import runtime

BINS = 4096
NARROWEST = 2**-36  # of a range, to its magnitude: a bin is then some 16 steps of float64 wide


class Histogram:
    """Counts of a tensor's values in equal bins between its extremes.

    Where these are equal, or nearly so for their magnitude, the bins reach a little further, that they have a width.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, max(high, low + max(1e-12, abs(low) * NARROWEST))
        tight = self.high - self.low < max(abs(self.low), abs(self.high)) * 2**-8  # bins nearly as fine as float32
        self.kind = np.float64 if tight else np.float32
        self.counts = np.zeros(BINS, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count some more values, all within the extremes."""
        self.counts += np.histogram(values.astype(self.kind), BINS, (self.low, self.high))[0]

    @property
    def middles(self) -> np.ndarray:
        """Of the bins, float64."""
        width = (self.high - self.low) / BINS
        return np.asarray(self.low + (np.arange(BINS) + 0.5) * width)

    def quantile(self, share: float) -> float:
        """The value below which ``share`` of all values lie, to a bin's width."""
        cumulative = np.concatenate([[0], np.cumsum(self.counts)])
        edges = np.linspace(self.low, self.high, BINS + 1)
        return float(np.interp(share * cumulative[-1], cumulative, edges))


def histograms(
    model: onnx.ModelProto, tensors: list[str], batches: Callable[[], Iterable[Sequence[np.ndarray]]], where: str
) -> dict[str, Histogram]:
    """Histograms of ``tensors`` over two passes of ``batches`` (a float32 array with a batch axis for each input).

    Raises UserError, naming the tensor, where a value is not a finite number.
    """
    if not tensors:
        return {}
    run, sources = session(model, tensors)
    extremes: dict[str, tuple[float, float]] = {}
    for batch in batches():
        for name, values in zip(tensors, run.run(tensors, dict(zip(sources, batch, strict=True))), strict=True):
            low, high = float(values.min()), float(values.max())
            if not (np.isfinite(low) and np.isfinite(high)):
                raise UserError(
                    where, f"tensor '{name}' is not finite on calibration data", "check the weights for NaN"
                )
            before = extremes.get(name, (low, high))
            extremes[name] = (min(before[0], low), max(before[1], high))
    found = {name: Histogram(*extremes[name]) for name in tensors}
    for batch in batches():
        for name, values in zip(tensors, run.run(tensors, dict(zip(sources, batch, strict=True))), strict=True):
            found[name].add(values)
    return found


def session(model: onnx.ModelProto, tensors: list[str]) -> tuple[onnxruntime.InferenceSession, list[str]]:
    """A session on a copy of ``model`` whose outputs are ``tensors``, and its inputs' names."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    opened = runtime.session(watched.SerializeToString())
    return opened, [each.name for each in opened.get_inputs()]
