"""Percentile calibration: the range leaves out the rarest values of each tail (Wu et al., 2020, arXiv:2004.09602)."""

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import Histogram

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ("percentile",)


def choose_range(histogram: Histogram, options: QuantizeOptions, levels: int = 256) -> tuple[float, float]:
    """The real range (low, high) outside which at most 100 - ``options.percentile`` per cent lie in either tail."""
    share = 1 - options.percentile / 100
    return histogram.quantile(share), histogram.quantile(1 - share)
