"""The stream of constants of the DSP kernels that skip vectors of weights which are zero (nn_dsp_stripes.h).

``stream`` uint32: the output's zero point (for thresholds: what is put out where none is reached) and the input's, how
many words there are; then for each filter how far in bytes its first vector is from the beginning of a window of four
pixels, its bias four times, its vectors: each its weights and how far the next one is from its end, END behind the
last; then its multiplier and, for weights of less than 16 bits where any filter has one, the left shift of its sums, or
its thresholds less the bias, which is 0 then, with the sign bit inverted. Vectors longer than the longest of ``UNITS``
are several. Where the kernel has no parameter ``n``, all weights are there, and no distances. Channels are filled up to
fours, whose inputs are 0.

Taps are in the order (kernel width, kernel height, in channels), of each four channels c, c+2, c+1, c+3, as SXTB16
makes them of a word. Weights take 16, 8, 4, 2 or 1 bits; those of less than 16 lie four channels to a word, the first
in its lowest byte, each four in the highest bits of the bytes that are left. Of few bits they are stored as they are,
or where they are odd and two apart as (weight - 1) / 2. The zero point is folded into the bias; a left shift of the
accumulator is one of bias and weights where these take 16 bits. Bias and thresholds are as much larger as the kernel's
sums are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import QUAD
from nnrules.graph.operator import Parameter
from nnrules.graph.requant import INT32_LIMIT
from nnrules.graph.sparse import kept
from nnrules.graph.thresholds import Thresholds

UNITS = (64, 32, 16, 8, 4)  # weights that a loop takes at once
END = 0xFFFFFFFF
TAP_BYTES = 8  # of four pixels as int16
SIGN = 1 << 31


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group."""
    weights, rule = operator.weights.transpose(0, 2, 1, 3).astype(np.int64), operator.requantization
    weights = np.pad(weights, ((0, 0), (0, 0), (0, 0), (0, -weights.shape[3] % 4)))
    skips = "n" in parameters
    n = int(parameters["n"] or weights.shape[3]) if skips else weights[0].size  # type: ignore[arg-type]
    unit = next(unit for unit in UNITS if n % unit == 0)
    there = np.repeat(kept(weights, n) | (not skips), n // unit, axis=1)
    bits, odd = _width(parameters)
    bias, ends, shift = _output(operator, bits, 0 if bits == 16 else 8 - bits - odd)
    values = (weights - odd >> odd) if odd else (weights.T << shift).T
    words = _words(values.reshape(*there.shape, unit), bits)
    starts = _starts(weights.shape[1:], operator.geometry.dilation[1], unit) if skips else None
    filters = [
        _filter(words[channel, each], None if starts is None else _distances(starts[each], unit), bias[channel])
        for channel, each in enumerate(there)
    ]
    body = [each for pair in zip(filters, _unsigned(ends), strict=True) for each in pair]
    head = [
        rule.lo if isinstance(rule, Thresholds) else rule.zero_point,
        operator.x_zero_point,
        3 + sum(map(len, body)),
    ]
    return {"stream": np.concatenate([_unsigned(np.array(head)), *body])}


def _output(operator: Any, bits: int, up: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """int64: the biases, (channels, n) what is behind the filters' vectors, shifts of the weights."""
    rule, bias = operator.requantization, operator.folded_bias().astype(np.int64)
    if isinstance(rule, Thresholds):
        edges = (rule.values - bias[:, np.newaxis] << up).clip(-INT32_LIMIT, INT32_LIMIT - 1)
        return np.zeros_like(bias), edges ^ SIGN, np.zeros_like(bias)
    shift, multiplier = rule.shift.astype(np.int64), rule.multiplier[:, np.newaxis].astype(np.int64)
    if bits == 16:
        return bias << shift, multiplier, shift
    ends = np.column_stack([multiplier, shift]) if shift.any() else multiplier
    return bias << up, ends, np.zeros_like(bias)


def _width(parameters: Mapping[str, Parameter]) -> tuple[int, int]:
    """How many bits a weight takes, and 1 where (weight - 1) / 2 is stored."""
    stored, bits = parameters["stored"], int(parameters.get("weight_bits", 8))  # type: ignore[arg-type]
    if stored:
        return int(stored), 0  # type: ignore[arg-type]
    odd = parameters["weight_step"] == 2 and parameters["weight_low"] % 2  # type: ignore[operator]
    return 4 if bits > 2 else bits, int(bool(odd))


def _starts(window: tuple[int, ...], dilation: int, unit: int) -> np.ndarray:
    """Where each vector begins, in taps; ``window``: width, height, in channels."""
    width, height, channels = window
    columns = np.arange(width)[:, np.newaxis] * dilation * height * channels
    return (columns + np.arange(0, height * channels, unit)).reshape(-1)


def _distances(starts: np.ndarray, unit: int) -> np.ndarray:
    """To each vector from the end of the one before, in bytes, and END."""
    return np.append((np.diff(starts, prepend=-unit) - unit) * TAP_BYTES, END)


def _words(values: np.ndarray, bits: int) -> np.ndarray:
    """Integers (channels, vectors, unit) -> uint32 (channels, vectors, words)."""
    if bits == 16:
        fours = values.reshape(*values.shape[:2], -1, 4)[..., QUAD]
        return np.ascontiguousarray(fours.astype("<i2")).view("<u4").reshape(*values.shape[:2], -1)
    fours = values.reshape(*values.shape[:2], -1, 8 // bits, 4) & (1 << bits) - 1
    at = 8 * np.arange(4) + 8 - bits * np.arange(1, 8 // bits + 1)[:, np.newaxis]
    return (fours << at).sum((3, 4)).astype(np.uint32)


def _filter(words: np.ndarray, distances: np.ndarray | None, bias: int) -> np.ndarray:
    """uint32: the part of the stream with a filter's bias and vectors."""
    if distances is None:
        return _unsigned(np.concatenate([[bias] * 4, words.reshape(-1)]))
    vectors = np.concatenate([words, distances[1:, np.newaxis]], axis=1).reshape(-1)
    return _unsigned(np.concatenate([distances[:1], [bias] * 4, vectors]))


def _unsigned(values: np.ndarray) -> np.ndarray:
    """Each as 32 bits."""
    return (values & END).astype(np.uint32)
