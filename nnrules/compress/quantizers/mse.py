"""The range with the least squared error of what was seen (Banner et al., NeurIPS 2019, search by trying)."""

import numpy as np

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import Histogram

SHARES = np.linspace(1.0, 0.05, 96)  # of the whole range

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ()


def choose_range(histogram: Histogram, options: QuantizeOptions, levels: int = 256) -> tuple[float, float]:
    """The real range (low, high) that the levels cover."""
    ranges = [(share * min(histogram.low, 0.0), share * max(histogram.high, 0.0)) for share in SHARES]
    return min(ranges, key=lambda each: squared_error(histogram, each[0], each[1], levels))


def squared_error(histogram: Histogram, low: float, high: float, levels: int) -> float:
    """Of all values, each taken for the middle of its bin, against the nearest of ``levels`` from low to high."""
    middles = histogram.middles
    step = max((high - low) / (levels - 1), 1e-30)
    nearest = low + np.clip(np.rint((middles - low) / step), 0, levels - 1) * step
    return float((histogram.counts * (middles - nearest) ** 2).sum())
