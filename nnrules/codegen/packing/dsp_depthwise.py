"""For SMLABB and SMLATT: depthwise weights of four channels as int16 in two words, (c, c+2) and (c+1, c+3).

``weights`` uint32 (blocks of 4 channels, kernel height, kernel width, 2), the first channel of each pair in the low
half: the order in which SXTB16 and SXTB16 of the word rotated by 8 give four inputs. The zero point is folded into the
bias.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d with as many groups as channels, these a multiple of four."""
    channels = len(operator.weights)
    blocks = operator.weights.reshape(channels // 4, 4, -1).transpose(0, 2, 1).astype(np.int16)
    words = np.ascontiguousarray(blocks[..., (0, 2, 1, 3)]).view("<u4").astype(np.uint32)
    return linear_constants(operator, words, operator.folded_bias(), np.arange(channels))
