"""For VMLADAV: the outputs of a layer in blocks of four, each a run of words that is read from one end to the other.

``stream`` uint32 (blocks, words). A block is four channels, or eight with the kernel's parameter ``pair`` = 1: first
the even ones, then the odd ones. It begins with its weights, int8 (steps, channels, 16), a channel's (kernel height by
kernel width by in channels) padded with zeros to whole steps; then come, as int32 for each four channels, the biases
with the zero point folded in, half the multipliers and, if any, the shifts. Channels beyond the last are zeros.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter

CHANNELS, LANES = 4, 16


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group and FullyConnected."""
    width = 2 * CHANNELS if parameters.get("pair") else CHANNELS
    flat = operator.weights.reshape(len(operator.weights), -1)
    missing = -len(flat) % width
    padded = np.pad(flat, ((0, missing), (0, -flat.shape[1] % LANES)))
    order = np.arange(len(padded)).reshape(-1, CHANNELS, width // CHANNELS).transpose(0, 2, 1)
    steps = padded[order.reshape(-1, width)].reshape(len(order), width, -1, LANES).transpose(0, 2, 1, 3)
    words = np.ascontiguousarray(steps).view("<u4").reshape(len(order), -1).astype(np.uint32)
    rule = operator.requantization
    rows = [operator.folded_bias(), rule.multiplier // 2, *([rule.shift] if rule.has_shift else [])]
    constants = np.stack([np.pad(row.astype(np.int32), (0, missing))[order] for row in rows], axis=2)
    return {"stream": np.hstack([words, constants.view(np.uint32).reshape(len(order), -1)])}
