"""For gathers of up to 16 values of a depthwise window, whole kernel rows each: channel after channel.

``stream`` uint32 (channels, words): for each gather 16 int8, zeros behind its rows, then as int32 the bias with the
zero point folded in, half the multiplier and, if any, the shift. With the kernel's parameter ``single`` = 1 a gather is
one row, else as many as fit.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter

LANES = 16


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as input channels and kernel rows of up to 16 values."""
    height, width = operator.geometry.kernel
    group = 1 if parameters["single"] else min(LANES // width, height)
    rows = np.pad(operator.weights[..., 0], ((0, 0), (0, -height % group), (0, 0)))
    gathers = rows.reshape(len(rows), -1, group * width)
    cells = np.pad(gathers, ((0, 0), (0, 0), (0, LANES - group * width))).reshape(len(rows), -1)
    rule = operator.requantization
    constants = [operator.folded_bias(), rule.multiplier // 2, *([rule.shift] if rule.has_shift else [])]
    words = [row.astype(np.int32).view(np.uint32)[:, np.newaxis] for row in constants]
    return {"stream": np.hstack([np.ascontiguousarray(cells).view("<u4").astype(np.uint32), *words])}
