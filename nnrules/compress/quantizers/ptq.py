"""Quantization after training, the ranges chosen as the option `range` says: by one of the other files here."""

import importlib

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import Histogram

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ("range", "percentile")


def choose_range(histogram: Histogram, options: QuantizeOptions, levels: int = 256) -> tuple[float, float]:
    """The real range (low, high) that the levels cover."""
    module = importlib.import_module(f"nnrules.compress.quantizers.{options.range}")
    found: tuple[float, float] = module.choose_range(histogram, options, levels)
    return found
