"""Depthwise weights of a few bits as codes, eight channels side by side, see nnrules.codegen.packing.codes.

``weights`` uint8 (eights of channels, kernel height, kernel width, bits), padded with zeros. The bias has no zero point
folded in: the kernel subtracts it from each input and leaves padding out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.codegen.packing.codes import EIGHT, packed
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels."""
    taps = operator.weights.reshape(len(operator.weights), -1)
    words = packed(taps.T, parameters)  # (taps, eights, bits)
    order = np.pad(np.arange(len(taps)), (0, -len(taps) % EIGHT), constant_values=-1)
    return linear_constants(operator, words.transpose(1, 0, 2), operator.bias, order)
