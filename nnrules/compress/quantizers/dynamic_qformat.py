"""Dynamic Q-format: power-of-two scales, the fraction bits of every activation chosen by the range of the input.

The inputs' ranges, each twice the one before, are the formats. For each of them the samples are brightened or darkened,
by powers of two, until it is theirs, and each activation's fraction bits are chosen from what is seen then: as biases
do not grow with the input, the bits of inner layers do not just shift along. Weights have one Q-format per channel.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import onnx

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.after_training import equalize
from nnrules.compress.calibration import Histogram, histograms
from nnrules.compress.parameters import UNIT_RANGE, Activation, QuantizationRecord, carriers, weight_scales
from nnrules.compress.quantizers.mse import squared_error
from nnrules.error import UserError

WEIGHT_BITS = ACTIVATION_BITS = (8,)
OPTIONS = ("formats", "brighter", "equalize")
FINER = 4  # fraction bits more than the largest value allows that are tried
LEAST = 2.0**-12  # of a tensor's range in any format: where a format sees hardly anything, it is not finer

Batch = tuple[np.ndarray, ...]


def records(
    model: onnx.ModelProto, batches: Sequence[Batch], options: QuantizeOptions, where: str
) -> list[QuantizationRecord]:
    """A record for each format, from the darkest on; their weights are the same. ``model`` is changed by `equalize`.

    Raises UserError for a network of several inputs, and for options that the method does not have.
    """
    _require(model, options, where)
    if options.equalize:
        equalize(model)
    name, kinds = model.graph.input[0].name, {node.output[0]: node.op_type for node in model.graph.node}
    largest, zero_point = _edge(batches)
    own = [each for each, carried in carriers(model).items() if each == carried and each != name]
    fixed = {each: Activation(2.0**-8, -128) for each in own if kinds.get(each) in UNIT_RANGE}
    measured = [each for each in own if each not in fixed]
    reaches = [2.0 ** (_power(largest) + options.brighter - s) for s in reversed(range(options.formats))]
    seen = [histograms(model, measured, partial(_lit, batches, reach), where) for reach in reaches]
    found = [fixed | {name: Activation(reach / (128 - zero_point), zero_point)} for reach in reaches]
    for each in measured:
        for activations, chosen in zip(found, _chosen([histogram[each] for histogram in seen]), strict=True):
            activations[each] = chosen
    weights = _weights(model, found, where)
    return [QuantizationRecord(options.method, each, weights) for each in found]


def _require(model: onnx.ModelProto, options: QuantizeOptions, where: str) -> None:
    if len(model.graph.input) != 1:
        fault = f"has {len(model.graph.input)} inputs, dynamic_qformat chooses the format by one"
        raise UserError(where, fault, "take another method of quantization")
    narrow = {"weight_bits": options.weight_bits, "activation_bits": options.activation_bits}
    for name, bits in narrow.items():
        if bits != 8:
            raise UserError(where, f"dynamic_qformat has no {name}={bits}", "say 8, or take another method")
    if options.brighter >= options.formats:
        fault = f"brighter={options.brighter} of formats={options.formats} leaves none for the images as they are"
        raise UserError(where, fault, f"say brighter={options.formats - 1} or less")


def _edge(batches: Iterable[Batch]) -> tuple[float, int]:
    """The largest magnitude of all samples, and the input's zero point: -128 where none is below zero."""
    ends = [(float(batch[0].min()), float(batch[0].max())) for batch in batches]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    return max(-low, high), 0 if low < 0 else -128


def _power(value: float) -> int:
    """The exponent of the least power of two that is not below a value; 0 for 0.

    >>> [_power(value) for value in (0.25, 0.3, 1.0, 5.0)]
    [-2, -1, 0, 3]
    """
    mantissa, exponent = math.frexp(value)
    return exponent - (mantissa == 0.5) if value > 0 else 0


def _lit(batches: Iterable[Batch], reach: float) -> Iterator[Batch]:
    """The samples, each times the power of two by which it comes to fill the range."""
    for (x,) in batches:
        magnitudes = np.abs(x).reshape(len(x), -1).max(1)
        factors = [reach / 2.0 ** _power(float(each)) for each in magnitudes]
        yield ((x * np.array(factors, x.dtype).reshape(-1, *[1] * (x.ndim - 1))),)


def _chosen(formats: Sequence[Histogram]) -> list[Activation]:
    """A tensor's parameters in each format: no zero point or, where it is never below zero, -128."""
    zero_point = 0 if any(each.low < 0 for each in formats) else -128
    ranges = [max(-each.low, each.high) for each in formats]
    floor = max(ranges) * LEAST
    return [_best(each, max(size, floor), zero_point) for each, size in zip(formats, ranges, strict=True)]


def _best(histogram: Histogram, size: float, zero_point: int) -> Activation:
    """Of the power-of-two steps about that for values up to ``size``, the one with the least squared error."""
    coarsest = 2.0 ** _power(size) / (128 - zero_point)
    steps = [coarsest / 2**finer for finer in range(FINER)]
    ends = -128 - zero_point, 127 - zero_point
    best = min(steps, key=lambda step: squared_error(histogram, ends[0] * step, ends[1] * step, 256))
    return Activation(best, zero_point)


def _weights(model: onnx.ModelProto, formats: Sequence[dict[str, Activation]], where: str) -> dict[str, list[float]]:
    """One power of two for each output channel that serves all formats."""
    found = [weight_scales(model, activations, where) for activations in formats]
    return {
        name: [2.0 ** _power(max(each)) for each in zip(*(f[name] for f in found), strict=True)] for name in found[0]
    }
