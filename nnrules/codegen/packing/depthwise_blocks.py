"""Depthwise weights in blocks of four channels: int8 (blocks, kernel height, kernel width, 4), padded with zeros.

The bias has no zero point folded in: the kernel subtracts it from each input and leaves padding out. With the kernel's
parameter ``raw`` = 1 it has: the kernel multiplies inputs as they are and fills borders.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.graph.operator import Parameter

BLOCK = 4


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels."""
    taps = operator.weights.reshape(len(operator.weights), -1)
    missing = -len(taps) % BLOCK
    blocks = np.pad(taps, ((0, missing), (0, 0))).reshape(-1, BLOCK, taps.shape[1])
    order = np.pad(np.arange(len(taps)), (0, missing), constant_values=-1)
    bias = operator.folded_bias() if parameters.get("raw") else operator.bias
    return linear_constants(operator, blocks.transpose(0, 2, 1), bias, order)
