"""The stream of constants of NN_DEPTHWISE_BY_ROWS in nn_dsp.h: five words for each channel.

``stream`` uint32: for each channel the weights (row, column) as bytes (1, 0), (1, 1), (0, 0), (0, 1), (1, 2), (2, 0),
(0, 2), (2, 1), (2, 2) and three zeros, so that SXTB16 makes pairs of one column; bias, the zero point folded in, and
multiplier. At the end output and input zero point.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import with_zero_points
from nnrules.graph.operator import Parameter

TAPS = (3, 4, 0, 1, 5, 6, 2, 7, 8)


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels and a kernel of 3x3."""
    taps = operator.weights.reshape(len(operator.weights), 9)[:, TAPS]
    words = np.ascontiguousarray(np.pad(taps, ((0, 0), (0, 3)))).view("<u4")
    constants = (operator.folded_bias(), operator.requantization.multiplier)
    columns = [words, *(values.astype(np.int32).view(np.uint32)[:, np.newaxis] for values in constants)]
    return {"stream": with_zero_points(operator, columns)}
