"""For windows up to 3x3 inside vectors of four columns by four rows: depthwise weights, channel after channel.

``stream`` uint32 (channels, 6 or 7): 16 int8 by column and row, zeros around the kernel, then as int32 the bias with
the zero point folded in, half the multiplier and, if any, the shift.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels."""
    height, width = operator.geometry.kernel
    columns = operator.weights[..., 0].transpose(0, 2, 1)
    cells = np.ascontiguousarray(np.pad(columns, ((0, 0), (0, 4 - width), (0, 4 - height))))
    rule = operator.requantization
    constants = [operator.folded_bias(), rule.multiplier // 2, *([rule.shift] if rule.has_shift else [])]
    words = [row.astype(np.int32).view(np.uint32)[:, np.newaxis] for row in constants]
    return {"stream": np.hstack([cells.reshape(-1, 16).view("<u4").astype(np.uint32), *words])}
