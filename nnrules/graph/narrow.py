"""Weights of a few bits: every value is ``low + step * code`` with codes that a few bits hold.

What they are follows from the values alone, so nothing else has to say it: weights trained to 4 bits, to -1 and 1, or
to odd levels (DoReFa) are stored in as many bits as they need, and come back as they were.
"""

import numpy as np

from nnrules.graph.operator import Parameter

WIDTHS = (1, 2, 3, 4)


def narrow_parameters(weights: np.ndarray) -> dict[str, Parameter]:
    """The parameters ``weight_bits``, ``weight_low``, ``weight_high``, ``weight_step``; none where int8 is needed."""
    values = np.unique(weights).astype(np.int64)
    low = int(values[0])
    step = int(np.gcd.reduce(values - low)) or 1
    high = int(values[-1])
    bits = max(1, int((high - low) // step).bit_length())
    found: dict[str, Parameter] = {"weight_bits": bits, "weight_low": low, "weight_high": high, "weight_step": step}
    return found if bits in WIDTHS else {}


def weight_bits(weights: np.ndarray) -> int:
    """As many as each takes: 8, or of ``WIDTHS``."""
    return int(narrow_parameters(weights).get("weight_bits", 8))  # type: ignore[arg-type]


def codes(weights: np.ndarray, low: int, step: int) -> np.ndarray:
    """uint8 of the same shape: (weights - low) / step."""
    return ((weights.astype(np.int64) - low) // step).astype(np.uint8)
