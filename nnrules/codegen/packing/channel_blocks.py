"""Four output channels side by side: for each input value, the four weights it meets lie next to each other.

``weights`` int8 (groups, blocks, kernel height, kernel width, in channels / groups, 4); a group's last block is padded
with zeros. A kernel's parameter ``lanes`` stands for the four. The bias has no zero point folded in: the kernel
subtracts it from each input and leaves padding out. With the kernel's parameter ``raw`` = 1 it has: the kernel
multiplies inputs as they are and fills borders.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.graph.operator import Parameter

LANES = 4


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d and FullyConnected (one group)."""
    groups = getattr(operator, "groups", 1)
    flat = operator.weights.reshape(groups, len(operator.weights) // groups, -1)
    channels = np.arange(len(operator.weights)).reshape(groups, -1)
    lanes = int(parameters.get("lanes", LANES))  # type: ignore[arg-type]
    missing = -channels.shape[1] % lanes
    padded = np.pad(flat, ((0, 0), (0, missing), (0, 0))).reshape(groups, -1, lanes, flat.shape[2])
    order = np.pad(channels, ((0, 0), (0, missing)), constant_values=-1).ravel()
    bias = operator.folded_bias() if parameters.get("raw") else operator.bias
    return linear_constants(operator, padded.transpose(0, 1, 3, 2), bias, order)
