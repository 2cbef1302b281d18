"""The stream of constants of the dense DSP kernels (nn_dense in nn_dsp_dense.h): for SMLAD, in the order they are read.

``stream`` uint32: for each TILE output channels their biases, then for each two taps a word of each channel, int16 with
the first tap in the low half (``wide`` = 1), or for each four taps a word of each channel, int8 in the order k, k+2,
k+1, k+3 (``wide`` = 0, or the last ``narrow`` sixteenths of the channels), then their multipliers. Where the channels
do not divide by TILE, the last group repeats some.
At the end the zero points of output and input, so that layers which differ in nothing else share their code.

Taps are in the order (kernel width, kernel height, in channels), padded with zeros to a multiple of GRAIN. Four taps
c .. c+3 of a pixel are in the order c, c+2, c+1, c+3, as SXTB16 makes them of a word; but in convolutions by ``rows``
whose channels do not come in fours they are in order, each column's padded to an even number where the stride is odd.
The zero point is folded into the bias; a left shift of the accumulator is one of bias and (``wide``) weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter

QUAD = (0, 2, 1, 3)
NARROW = 16  # parts of the channels that `narrow` counts in


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group: tiles of two channels."""
    weights = operator.weights.astype(np.int32).transpose(0, 2, 1, 3)
    columns = weights.reshape(*weights.shape[:2], -1)
    in_fours = weights.shape[3] % 4 == 0 or "rows" not in parameters
    spare = 0 if in_fours else columns.shape[2] % 2 * operator.geometry.stride[1] % 2
    taps = np.pad(columns, ((0, 0), (0, 0), (0, spare))).reshape(len(weights), -1)
    narrow = len(taps) // NARROW * int(parameters.get("narrow", 0))  # type: ignore[arg-type]
    return {"stream": stream(operator, taps, 2, 4, bool(parameters["wide"]), in_fours, narrow)}


def stream(
    operator: Any, taps: np.ndarray, tile: int, grain: int, wide: bool, in_fours: bool, narrow: int = 0
) -> np.ndarray:
    """The words; ``taps`` integers (channels, taps), ``in_fours``: whether to exchange the middle two of each four;
    ``narrow``: of how many channels at the end the weights are int8 though those of the others are not."""
    taps = np.pad(taps, ((0, 0), (0, -taps.shape[1] % grain)))
    order = tiles(len(taps), tile)
    parts = [(order[: len(order) - narrow], wide), (order[len(order) - narrow :], False)]
    words = [
        _groups(operator, taps, channels, tile, each, in_fours).reshape(-1) for channels, each in parts if len(channels)
    ]
    return with_zero_points(operator, [np.concatenate(words)[np.newaxis]])


def _groups(operator: Any, taps: np.ndarray, channels: np.ndarray, tile: int, wide: bool, in_fours: bool) -> np.ndarray:
    """The words of some channels, a tile of them in a row."""
    rule = operator.requantization
    shift = rule.shift.astype(np.int64)[channels]
    fours = taps[channels].reshape(len(channels), -1, 4)[..., QUAD if in_fours else (0, 1, 2, 3)]
    if wide:
        halves = (fours.astype(np.int64) << shift[:, np.newaxis, np.newaxis]).astype("<i2")
        words = np.ascontiguousarray(halves).view("<u4")
    else:
        words = np.ascontiguousarray(fours[..., QUAD].astype(np.int8)).view("<u4")
    bias = operator.folded_bias().astype(np.int64)[channels] << shift
    heads, tails = (
        part.astype(np.int32).view(np.uint32).reshape(-1, tile) for part in (bias, rule.multiplier[channels])
    )
    body = words.reshape(len(channels) // tile, tile, -1).transpose(0, 2, 1).reshape(len(heads), -1)
    return np.concatenate([heads, body, tails], axis=1)


def with_zero_points(operator: Any, columns: list[np.ndarray]) -> np.ndarray:
    """The columns of words row by row, then output and input zero point."""
    ends = np.array([operator.requantization.zero_point, operator.x_zero_point], np.int32).view(np.uint32)
    return np.concatenate([np.concatenate(columns, axis=1).reshape(-1), ends]).astype(np.uint32)


def tiles(channels: int, tile: int) -> np.ndarray:
    """The channels in groups of ``tile``, the last group ending with the last channel.

    >>> tiles(5, 2).tolist(), tiles(2, 4).tolist()
    ([0, 1, 2, 3, 3, 4], [0, 0, 0, 1])
    """
    whole = np.arange(channels // tile * tile)
    last = np.maximum(np.arange(channels - tile, channels), 0)
    return np.concatenate([whole, last]) if channels % tile else whole
