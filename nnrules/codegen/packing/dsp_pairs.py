"""For SMLAD: two output channels side by side, four weights of each in a word.

``weights`` uint32 (pairs, kernel height, quads, 2): a quad is four consecutive weights k .. k+3 of a kernel row (kernel
width by in channels, padded with zeros to a multiple of four), its bytes in the order k, k+2, k+1, k+3, so that SXTB16
gives (k, k+1) and SXTB16 of the word rotated by 8 gives (k+2, k+3). An odd last channel is paired with zeros. The zero
point is folded into the bias: the kernel multiplies raw inputs and fills borders with the zero point.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.graph.operator import Parameter

BYTE_ORDER = (0, 2, 1, 3)


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group and FullyConnected (one row)."""
    channels = len(operator.weights)
    kernel_height = operator.weights.shape[1] if operator.weights.ndim == 4 else 1
    rows = operator.weights.reshape(channels, kernel_height, -1)
    padded = np.pad(rows, ((0, channels % 2), (0, 0), (0, -rows.shape[2] % 4)))
    quads = padded.reshape(-1, 2, rows.shape[1], padded.shape[2] // 4, 4)[..., BYTE_ORDER]
    words = np.ascontiguousarray(quads.transpose(0, 2, 3, 1, 4)).view("<u4")[..., 0].astype(np.uint32)
    order = np.pad(np.arange(channels), (0, channels % 2), constant_values=-1)
    return linear_constants(operator, words, operator.folded_bias(), order)
