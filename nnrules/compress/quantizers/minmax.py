"""Min-max calibration: the range is everything that was seen."""

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import Histogram

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ()


def choose_range(histogram: Histogram, options: QuantizeOptions, levels: int = 256) -> tuple[float, float]:
    """The real range (low, high) that the levels cover."""
    return histogram.low, histogram.high
