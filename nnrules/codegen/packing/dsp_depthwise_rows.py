"""The stream of constants of NN_DEPTHWISE_BY_ROWS in nn_dsp_depthwise_rows.h: five words for each channel.

``stream`` uint32: for each channel the weights (row, column) as bytes (1, 0), (1, 1), (0, 0), (0, 1), (1, 2), (2, 0),
(0, 2), (2, 1), so that SXTB16 makes pairs of one column (``wide``: those pairs, as int16), then (2, 2) as int16 and the
number of channels; bias, the zero point folded in, and multiplier. At the end output and input zero point, and as bytes
the columns inside, on their left and on their right, and the width of the output.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import with_zero_points
from nnrules.graph.operator import Parameter

TAPS = (3, 4, 0, 1, 5, 6, 2, 7)
PAIRS = (3, 0, 4, 1, 5, 2, 6, 7)
NAMES = ("in_w", "out_w", "stride_w", "pad_left")


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels and a kernel of 3x3."""
    channels = len(operator.weights)
    taps = operator.weights.reshape(channels, 9)
    pairs = taps[:, PAIRS].astype("<i2") if parameters["wide"] else taps[:, TAPS]
    last = taps[:, 8:].astype(np.int32).view(np.uint32) & np.uint32(0xFFFF) | np.uint32(channels << 16)
    constants = (operator.folded_bias(), operator.requantization.multiplier)
    words = [values.astype(np.int32).view(np.uint32)[:, np.newaxis] for values in constants]
    columns = [np.ascontiguousarray(pairs).view("<u4"), last, *words]
    in_w, out_w, stride, left = (int(parameters[name]) for name in NAMES)  # type: ignore[arg-type]
    needed = (out_w - 1) * stride + 3
    inside = min(in_w, needed - left)
    sizes = np.array([inside, left, needed - left - inside, out_w], np.uint8).view("<u4")
    return {"stream": np.concatenate([with_zero_points(operator, columns), sizes])}
