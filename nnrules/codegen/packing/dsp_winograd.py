"""The stream of constants of NN_WINOGRAD in nn_dsp_winograd.h.

``stream`` uint32: for each two output channels the transformed weights U = (2G) g (2G)', position by position (4x4, the
columns inside the rows), each as dsp_dense lays out the weights of a pixel as int16; then four times the biases, the
zero point folded in, and the multipliers; at the end output and input zero point. |U| is at most 9 * 128.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import QUAD, with_zero_points
from nnrules.graph.operator import Parameter

TWICE_G = np.array([[2, 0, 0], [1, 1, 1], [1, -1, 1], [0, 0, 2]])


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group and a 3x3 kernel, in channels a multiple of four, an even number of out channels."""
    weights = operator.weights.astype(np.int64)
    transformed = np.einsum("ik,oklc,jl->oijc", TWICE_G, weights, TWICE_G).reshape(len(weights), -1, 4)[..., QUAD]
    words = np.ascontiguousarray(transformed.astype("<i2")).view("<u4").reshape(len(weights) // 2, 2, -1)
    bias = (4 * operator.folded_bias().astype(np.int64)).astype(np.int32)
    tails = [part.view(np.uint32).reshape(-1, 2) for part in (bias, operator.requantization.multiplier)]
    body = words.transpose(0, 2, 1).reshape(len(words), -1)
    return {"stream": with_zero_points(operator, [body, *tails])}
