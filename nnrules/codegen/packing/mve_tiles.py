"""For VMLADAV: four output channels side by side, sixteen weights of each in a vector.

``weights`` int8 (blocks of four channels, steps, 4, 16): a channel's weights (kernel height by kernel width by in
channels) padded with zeros to a multiple of sixteen. ``constants`` int32 (blocks, 2 or 3, 4): the biases with the zero
point folded in, half the multipliers and, if any, the shifts. Where the kernel's parameter ``pair`` is 1, two blocks
are one of eight channels: the first four are the even ones, and a step has 16 weights of all eight.
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
    order = np.arange(len(padded)).reshape(-1, width // CHANNELS, CHANNELS)
    if parameters.get("pair"):
        order = order.reshape(-1, CHANNELS, 2).transpose(0, 2, 1)
    steps = padded[order.reshape(-1, width)].reshape(-1, width, padded.shape[1] // LANES, LANES)
    rule = operator.requantization
    rows = [operator.folded_bias(), rule.multiplier // 2, *([rule.shift] if rule.has_shift else [])]
    constants = np.array([np.pad(row.astype(np.int32), (0, missing))[order.reshape(-1, CHANNELS)] for row in rows])
    return {"weights": steps.transpose(0, 2, 1, 3), "constants": constants.transpose(1, 0, 2)}
