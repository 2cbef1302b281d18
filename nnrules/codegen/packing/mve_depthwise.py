"""For windows up to 3x3 inside vectors of four columns by four rows: depthwise weights, channel after channel.

``stream`` uint32 (channels, 6 or 7): 16 int8 by column and row (with the kernel's parameter ``turned`` = 1 by row and
column), zeros around the kernel, then as int32 the bias with the zero point folded in, half the multiplier and, if
any, the shift.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels."""
    columns = operator.weights[..., 0].transpose((0, 1, 2) if parameters["turned"] else (0, 2, 1))
    padding = ((0, 0), (0, 4 - columns.shape[1]), (0, 4 - columns.shape[2]))
    cells = np.ascontiguousarray(np.pad(columns, padding))
    rule = operator.requantization
    constants = [operator.folded_bias(), rule.multiplier // 2, *([rule.shift] if rule.has_shift else [])]
    words = [row.astype(np.int32).view(np.uint32)[:, np.newaxis] for row in constants]
    return {"stream": np.hstack([cells.reshape(-1, 16).view("<u4").astype(np.uint32), *words])}
