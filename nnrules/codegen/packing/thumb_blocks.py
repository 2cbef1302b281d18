"""Four output channels side by side, weights plus 128, so that Armv6-M's LDRB reads them.

``weights`` uint8 (blocks, values, 4): a channel's weights (kernel height by kernel width by in channels) plus 128, up
to a multiple of eight; ``bias`` has the zero point folded in. The kernel takes off again 128 times the sum of its
inputs.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.graph.operator import Parameter

BLOCK, STEP = 4, 8


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group and FullyConnected."""
    flat = operator.weights.reshape(len(operator.weights), -1)
    missing = -len(flat) % BLOCK
    padded = np.pad(flat, ((0, missing), (0, -flat.shape[1] % STEP))).astype(np.int16) + 128
    blocks = padded.astype(np.uint8).reshape(-1, BLOCK, padded.shape[1]).transpose(0, 2, 1)
    order = np.pad(np.arange(len(flat)), (0, missing), constant_values=-1)
    return linear_constants(operator, blocks, operator.folded_bias(), order)
