"""The stream of constants of NN_WINOGRAD_4 in nn_dsp_winograd_row.h.

``stream`` uint32: for each two output channels the transformed weights U = 24 G g, position by position (six, the
kernel's rows inside), each as dsp_dense lays out the weights of a pixel as int16; then 24 times the biases modulo 2^32,
the zero point folded in, and the multipliers; at the end output and input zero point. |U| is at most 24 * 128.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import QUAD, with_zero_points
from nnrules.graph.operator import Parameter

SCALE = 24
SCALED_G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]])


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group, three columns, in channels a multiple of four, an even number of out channels."""
    weights = operator.weights.astype(np.int64)
    transformed = np.einsum("pw,okwc->opkc", SCALED_G, weights).reshape(len(weights), -1, 4)[..., QUAD]
    words = np.ascontiguousarray(transformed.astype("<i2")).view("<u4").reshape(len(weights) // 2, 2, -1)
    bias = (SCALE * operator.folded_bias().astype(np.int64)).astype(np.uint32)
    tails = [part.view(np.uint32).reshape(-1, 2) for part in (bias, operator.requantization.multiplier)]
    body = words.transpose(0, 2, 1).reshape(len(words), -1)
    return {"stream": with_zero_points(operator, [body, *tails])}
