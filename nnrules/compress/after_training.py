"""A float ONNX model made ready for quantization without training: layers evened out, weights and inputs of few
bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.arrays import store, weights
from nnrules.compress.calibration import Histogram, histograms, session
from nnrules.compress.hoisting import hoist, quantizer_of
from nnrules.compress.parameters import LINEAR, Activation, channel_axis
from nnrules.compress.prepared import Prepared
from nnrules.compress.widths import WIDEST, widths

Batches = Callable[[], Iterable[Sequence[np.ndarray]]]
ChooseRange = Callable[[Histogram, QuantizeOptions, int], tuple[float, float]]
Reals = NDArray[np.float64]

ROUNDS = 20  # of evening out
LEAST = 1e-30  # of scales
SHARES = np.linspace(1.0, 0.3, 71)  # of the largest weight, that are tried as the end of the range


def prepare(
    model: onnx.ModelProto, options: QuantizeOptions, batches: Batches, choose_range: ChooseRange, where: str
) -> Prepared:
    """Do what the options ask for: `equalize`, `weight_bits`, `activation_bits`, `rounding`, `correct_bias`."""
    found = Prepared(model)
    layers = linear_layers(model)
    bits = widths([node.name for node in layers], options, where)
    if options.equalize:
        equalize(model)
    exact = onnx.ModelProto()
    exact.CopyFrom(model)
    narrow_inputs(found, {name: each.inputs for name, each in bits.items()}, options, batches, choose_range, where)
    for node in layers:
        if bits[node.name].weights < WIDEST:
            narrow_weights(found, node, bits[node.name].weights, options.per_channel is not False)
    if options.rounding == "adaptive" and found.codes:
        from nnrules.compress.rounding import adapt  # torch, which the rest does without

        adapt(found, exact, options, batches)
    if options.correct_bias and found.codes:
        correct_biases(found, exact, batches)
    return found


def linear_layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Those with constant weights, in their order."""
    constants = {each.name for each in model.graph.initializer}
    return [node for node in model.graph.node if node.op_type in LINEAR and node.input[1] in constants]


def equalize(model: onnx.ModelProto) -> None:
    """Give the channels between two layers the same range in the weights of both, the network being the same function
    (Nagel et al., Data-Free Quantization through Weight Equalization and Bias Correction, ICCV 2019, arXiv:1906.04721).

    Between them there may be a Relu, which scales along; what else reads the channels, or gives them, ends the chain.
    """
    for _ in range(ROUNDS):
        for first, second in _neighbours(model):
            _even_out(model, first, second)


def _neighbours(model: onnx.ModelProto) -> list[tuple[onnx.NodeProto, onnx.NodeProto]]:
    reads = Counter(value for node in model.graph.node for value in node.input)
    outputs = {value.name for value in model.graph.output}
    users = {value: node for node in model.graph.node for value in node.input}
    layers, found = linear_layers(model), []
    once = Counter(node.input[1] for node in layers)
    for node in layers:
        value = node.output[0]
        while reads[value] == 1 and value not in outputs and users[value].op_type == "Relu":
            value = users[value].output[0]
        after = users.get(value)
        alone = reads[value] == 1 and value not in outputs and after in layers
        if after is not None and alone and after.input[0] == value and once[node.input[1]] == once[after.input[1]] == 1:
            found.append((node, after))
    return found


def _even_out(model: onnx.ModelProto, first: onnx.NodeProto, second: onnx.NodeProto) -> None:
    one, two = weights(model, first.input[1]), weights(model, second.input[1])
    out_axis, in_axis = channel_axis(first), 1 - channel_axis(second)
    groups = _groups(second)
    if groups > 1:
        if groups != two.shape[0] or second.op_type != "Conv":
            return
        in_axis = 0  # depthwise: each output has the one input
    if _groups(first) > 1 and first.op_type != "Conv":
        return
    if one.shape[out_axis] != two.shape[in_axis]:
        return
    ranges = [_largest(each, axis) for each, axis in ((one, out_axis), (two, in_axis))]
    there = (ranges[0] > 0) & (ranges[1] > 0)
    factor = np.where(there, np.sqrt(ranges[0] / np.where(there, ranges[1], 1.0)), 1.0)
    store(model, first.input[1], one / _along(factor, out_axis, one.ndim))
    store(model, second.input[1], two * _along(factor, in_axis, two.ndim))
    if len(first.input) > 2:
        store(model, first.input[2], weights(model, first.input[2]) / factor)


def narrow_inputs(
    found: Prepared,
    bits: Mapping[str, int],
    options: QuantizeOptions,
    batches: Batches,
    choose_range: ChooseRange,
    where: str,
) -> None:
    """Put a Clip in front of each layer whose input is to have fewer than 8 bits, and state its levels."""
    model = found.model
    readers: dict[tuple[str, int], list[onnx.NodeProto]] = {}
    for node in linear_layers(model):
        if bits[node.name] < WIDEST:
            readers.setdefault((node.input[0], bits[node.name]), []).append(node)
    seen = histograms(model, sorted({value for value, _ in readers}), batches, where)
    stated: dict[str, Activation] = {}
    for (value, width), nodes in readers.items():
        low, high = choose_range(seen[value], options, 2**width)
        low, high = min(low, 0.0), max(high, 1e-8)
        if options.symmetric and low < 0:
            low, high = min(low, -high), max(high, -low)
        scale = float(np.float32((high - low) / (2**width - 1)))
        zero_point = round(-low / scale)
        name = f"{value}/{width}bits"
        ends = [f"{name}/low", f"{name}/high"]
        for end, level in zip(ends, (0, 2**width - 1), strict=True):
            real = np.array((level - zero_point) * scale, np.float32)
            model.graph.initializer.append(numpy_helper.from_array(real, end))
        clip = helper.make_node("Clip", [value, *ends], [name], name=name)
        at = min(index for index, node in enumerate(model.graph.node) if node in nodes)
        model.graph.node.insert(at, clip)
        for node in nodes:
            node.input[0] = name
        stated[name] = Activation(scale, zero_point)
    if stated:
        hoist(model)
    found.stated = {quantizer_of(model, name): each for name, each in stated.items()}


def narrow_weights(found: Prepared, node: onnx.NodeProto, bits: int, per_channel: bool = True) -> None:
    """Round a layer's weights to so many bits, symmetric, with the scale that has the least error, of each channel or
    of all; of one bit to their sign times the mean."""
    real = weights(found.model, node.input[1])
    axis, top = channel_axis(node), max(1, 2 ** (bits - 1) - 1)
    channels = np.moveaxis(real, axis, 0).reshape(real.shape[axis], -1)
    found.tops[node.input[1]] = top
    rows = channels if per_channel else channels.reshape(1, -1)
    best = best_scales(rows, top) if bits > 1 else np.maximum(np.abs(rows).mean(1), LEAST)
    scales = best.repeat(1 if per_channel else len(channels))
    signs = np.where(channels < 0, -1.0, 1.0)
    codes = np.clip(np.rint(channels / scales[:, np.newaxis]), -top, top) if bits > 1 else signs
    shape = np.moveaxis(real, axis, 0).shape
    found.codes[node.input[1]] = np.ascontiguousarray(np.moveaxis(codes.reshape(shape), 0, axis)).astype(np.int8)
    rounded = (codes * scales[:, np.newaxis]).reshape(shape)
    store(found.model, node.input[1], np.moveaxis(rounded, 0, axis))


def best_scales(channels: Reals, top: int) -> Reals:
    """For each row the step with the least squared error of rounding to -top .. top; 1 where all is zero."""
    largest = np.abs(channels).max(1)
    best, least = np.where(largest > 0, largest / top, 1.0), np.full(len(channels), np.inf)
    for share in SHARES:
        scales = np.where(largest > 0, share * largest / top, 1.0)
        rounded = np.clip(np.rint(channels / scales[:, np.newaxis]), -top, top) * scales[:, np.newaxis]
        error = ((rounded - channels) ** 2).sum(1)
        best, least = np.where(error < least, scales, best), np.minimum(error, least)
    return best


def correct_biases(found: Prepared, exact: onnx.ModelProto, batches: Batches) -> None:
    """Take from each bias what the rounded weights add to a channel on average: their error times the input's mean
    (Nagel et al., 2019, section 4.2, from calibration data).

    ``exact``: the model of the real weights, where the means are taken: with its bias corrected each layer gives the
    next one these means.
    """
    model = found.model
    real = {node.output[0]: node for node in linear_layers(exact)}
    layers = [node for node in linear_layers(model) if node.input[1] in found.codes and node.op_type != "ConvTranspose"]
    axes = {real[node.output[0]].input[0]: 1 if node.op_type == "Conv" else -1 for node in layers}
    means = channel_means(exact, axes, batches)
    for node in layers:
        error = weights(model, node.input[1]) - weights(exact, node.input[1])
        mean = means[real[node.output[0]].input[0]]
        if node.op_type == "Conv":
            per_input = error.reshape(*error.shape[:2], -1).sum(2)  # (out, in / groups)
            groups = _groups(node)
            parts = mean.reshape(groups, 1, -1)
            shift = (per_input.reshape(groups, -1, per_input.shape[1]) * parts).sum(2).reshape(-1)
        else:
            shift = np.moveaxis(error, channel_axis(node), 0) @ mean
        name = _bias(model, node, len(shift))
        if name:
            store(model, name, weights(model, name) - shift)


def _bias(model: onnx.ModelProto, node: onnx.NodeProto, channels: int) -> str:
    """The initializer that holds a layer's bias alone, made where there is none; of a MatMul what is added behind it,
    "" where that is nothing."""
    held = {each.name: each for each in model.graph.initializer}
    reads = Counter(value for each in model.graph.node for value in each.input)
    if node.op_type == "MatMul":
        users = [each for each in model.graph.node if node.output[0] in each.input]
        if len(users) != 1 or users[0].op_type != "Add":
            return ""
        place, owner = int(users[0].input[0] == node.output[0]), users[0]
        name = owner.input[place]
        if name not in held or list(held[name].dims) != [channels]:
            return ""
    else:
        place, owner = 2, node
        name = node.input[2] if len(node.input) > 2 else ""
    if reads[name] == 1 and name in held:
        return name
    own = f"{node.output[0]}/bias"
    values = weights(model, name) if name else np.zeros(channels)
    model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), own))
    owner.input[:] = [*owner.input[:place], own, *owner.input[place + 1 :]]
    return own


def channel_means(model: onnx.ModelProto, channels: Mapping[str, int], batches: Batches) -> dict[str, Reals]:
    """The mean of each channel over calibration data. ``channels``: by value, the axis that counts them."""
    names = list(channels)
    if not names:
        return {}
    run, sources = session(model, names)
    totals: dict[str, Reals] = {}
    count = 0
    for batch in batches():
        for name, array in zip(names, run.run(names, dict(zip(sources, batch, strict=True))), strict=True):
            axes = tuple(axis for axis in range(array.ndim) if axis != channels[name] % array.ndim)
            totals[name] = totals.get(name, 0.0) + array.astype(np.float64).mean(axes) * len(batch[0])
        count += len(batch[0])
    return {name: total / count for name, total in totals.items()}


def _groups(node: onnx.NodeProto) -> int:
    return next((int(a.i) for a in node.attribute if a.name == "group"), 1)


def _largest(array: Reals, axis: int) -> Reals:
    return np.abs(np.moveaxis(array, axis, 0)).reshape(array.shape[axis], -1).max(1)


def _along(vector: Reals, axis: int, rank: int) -> Reals:
    return vector.reshape([-1 if each == axis else 1 for each in range(rank)])
