"""The stream of constants of NN_DEPTHWISE_3X3 in nn_dsp_depthwise.h: five words for each channel.

``stream`` uint32 (channels, 5): for each row of weights the bytes w0, w1, w1, w2, so that SXTB16 makes (w0, w1) of the
word and (w1, w2) of the word rotated by 8; then bias, the zero point folded in, and multiplier.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels and a kernel of 3x3."""
    rows = np.ascontiguousarray(operator.weights[:, :, (0, 1, 1, 2), 0]).view("<u4")[..., 0]
    constants = (operator.folded_bias(), operator.requantization.multiplier)
    columns = [rows, *(values.view(np.uint32)[:, np.newaxis] for values in constants)]
    return {"stream": np.concatenate(columns, axis=1).astype(np.uint32)}
