"""Outputs of few levels by thresholds on the accumulator: exact for every function that does not fall.

    y = lo + how many of the channel's thresholds the accumulator reaches

A multiplier rounds twice, the bias to a step of the accumulator and the product to a level; with weights and inputs of
a few bits such a step is a large part of a level. Thresholds hold whatever lies between accumulator and level (bias,
BatchNorm, Relu, a quantizer's offset) as it is: they are found by bisection through the real function (Umuroglu et al.,
FINN, FPGA 2017, for one bit; any monotone quantizer has them).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

MOST_LEVELS = 16

Reals = NDArray[np.float64]


class Thresholds(msgspec.Struct, frozen=True, tag="thresholds"):
    """``values`` int32 (channels, levels - 1), ascending along the levels; ``lo`` the lowest level."""

    values: np.ndarray
    lo: int

    has_shift: ClassVar[bool] = False

    @property
    def hi(self) -> int:
        """The highest level."""
        return self.lo + int(self.values.shape[1])

    def apply(self, acc: NDArray[np.int64]) -> NDArray[np.int8]:
        """The numpy definition: ``acc`` with the channel last -> int8 of the same shape."""
        reached = acc[..., np.newaxis] >= self.values.astype(np.int64)
        return (self.lo + reached.sum(-1)).astype(np.int8)

    def simulate(self, torch: Any, acc: Any) -> Any:
        """The torch twin, by binary search: ``acc`` an integer-valued float64 tensor, channel last -> float64."""
        columns = acc.reshape(-1, acc.shape[-1]).T.contiguous()
        edges = torch.as_tensor(self.values.astype(np.float64))
        return (torch.searchsorted(edges, columns, right=True).T + self.lo).reshape(acc.shape).to(torch.float64)

    def parameters(self) -> dict[str, int]:
        """The kernel parameters: ``levels`` says that outputs are made by thresholds."""
        levels = int(self.values.shape[1]) + 1
        return {"levels": levels, "lo": self.lo, "hi": self.hi, "y_zero_point": 0, "has_shift": 0, "max_shift": 0}


def find_thresholds(level: Callable[[Reals], Reals], bound: NDArray[np.int64], lo: int, hi: int) -> Thresholds:
    """The thresholds of ``level``, which maps accumulators, one for each channel, to levels and does not fall.

    ``bound``: the largest magnitude of each channel's accumulator; a level that is not reached within it gets a
    threshold just above, one that is always reached gets the least accumulator.
    """
    found = np.empty((len(bound), hi - lo), np.int64)
    for column, wanted in enumerate(range(lo + 1, hi + 1)):
        below, reached = -bound - 1, bound + 1  # level(below) < wanted <= level(reached), as if beyond the ends
        while (apart := reached - below > 1).any():
            middle = (below + reached) >> 1
            holds = level(middle.astype(np.float64)) >= wanted
            reached, below = np.where(apart & holds, middle, reached), np.where(apart & ~holds, middle, below)
        found[:, column] = reached
    return Thresholds(found.astype(np.int32), lo)
