"""The stream of constants of the DSP kernel for weights that are zero by vectors (nn_dsp_stripes.h).

``stream`` uint32: the zero points of output and input, how many words follow; then for each filter how far in bytes its
first vector is from the beginning of a window of four pixels, its bias four times, its vectors: each its weights, int16
(``wide`` = 1) or int8, and how far the next one is from its end, END behind the last; then its multiplier. Vectors
longer than the longest of ``UNITS`` are several.

Taps are in the order (kernel width, kernel height, in channels), of each four channels c, c+2, c+1, c+3, as SXTB16
makes them of a word. The zero point is folded into the bias; a left shift of the accumulator is one of bias and
(``wide``) weights.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import QUAD
from nnrules.graph.operator import Parameter
from nnrules.graph.sparse import kept

UNITS = (64, 32, 16, 8, 4)  # weights that a loop takes at once
END = 0xFFFFFFFF
TAP_BYTES = 8  # of four pixels as int16


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group whose input channels come in fours."""
    weights, rule = operator.weights.transpose(0, 2, 1, 3), operator.requantization
    n = int(parameters["n"] or weights.shape[3])  # type: ignore[arg-type]
    unit = next(unit for unit in UNITS if n % unit == 0)
    there = np.repeat(kept(weights, n), n // unit, axis=1)
    shift = rule.shift.astype(np.int64)
    taps = weights.reshape(*there.shape, unit).astype(np.int64) << shift[:, np.newaxis, np.newaxis]
    words = _words(taps, bool(parameters["wide"]))
    bias = operator.folded_bias().astype(np.int64) << shift
    starts = _starts(weights.shape[1:], operator.geometry.dilation[1], unit)
    filters = [
        _filter(starts[each], words[channel, each], unit, (int(bias[channel]), int(rule.multiplier[channel])))
        for channel, each in enumerate(there)
    ]
    head = np.array([rule.zero_point, operator.x_zero_point, 3 + sum(map(len, filters))], np.int32).view(np.uint32)
    return {"stream": np.concatenate([head, *filters])}


def _starts(window: tuple[int, ...], dilation: int, unit: int) -> np.ndarray:
    """Where each vector begins, in taps; ``window``: width, height, in channels."""
    width, height, channels = window
    columns = np.arange(width) * dilation * height * channels
    return (columns[:, np.newaxis] + np.arange(0, height * channels, unit)).reshape(-1)


def _words(taps: np.ndarray, wide: bool) -> np.ndarray:
    """Integers (channels, vectors, unit) -> uint32 (channels, vectors, words)."""
    fours = taps.reshape(*taps.shape[:2], -1, 4)[..., QUAD]
    if not wide:
        return np.ascontiguousarray(fours[..., QUAD].astype(np.int8)).view("<u4")[..., 0]
    return np.ascontiguousarray(fours.astype("<i2")).view("<u4").reshape(*taps.shape[:2], -1)


def _filter(starts: np.ndarray, words: np.ndarray, unit: int, ends: tuple[int, int]) -> np.ndarray:
    """uint32: a filter's part of the stream; ``ends``: its bias and its multiplier."""
    bias, multiplier = np.array(ends, np.int32).view(np.uint32)
    distances = np.append(np.diff(starts, prepend=-unit) - unit, 0) * TAP_BYTES
    distances[-1] = END
    vectors = np.concatenate([words, distances[1:, np.newaxis].astype(np.uint32)], axis=1).reshape(-1)
    return np.concatenate([[distances[0]], [bias] * 4, vectors, [multiplier]]).astype(np.uint32)
