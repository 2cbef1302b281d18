"""Weights of a few bits as codes: eight of them take as many bytes as each takes bits, the first in the lowest bits.

``weights`` uint8 (out channels, groups of eight, bits): a filter's codes (kernel height, kernel width, in channels) one
after the other, the last eight padded with zeros. The bias has the zero point folded in. A code stands for ``weight_low
+ weight_step * code``, see nnrules.graph.narrow.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.graph.narrow import codes
from nnrules.graph.operator import Parameter

EIGHT = 8


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group and FullyConnected."""
    flat = operator.weights.reshape(len(operator.weights), -1)
    return linear_constants(operator, packed(flat, parameters), operator.folded_bias(), np.arange(len(flat)))


def packed(weights: np.ndarray, parameters: Mapping[str, Parameter]) -> np.ndarray:
    """(n, count) weights -> uint8 (n, groups of eight, bits)."""
    low, step, bits = (int(parameters[f"weight_{name}"]) for name in ("low", "step", "bits"))  # type: ignore[arg-type]
    found = codes(weights, low, step)
    eights = np.pad(found, ((0, 0), (0, -found.shape[1] % EIGHT))).reshape(len(found), -1, EIGHT).astype(np.uint32)
    words = (eights << (np.arange(EIGHT, dtype=np.uint32) * np.uint32(bits))).sum(-1, dtype=np.uint32)
    return (words[..., np.newaxis] >> (8 * np.arange(bits, dtype=np.uint32))).astype(np.uint8)
