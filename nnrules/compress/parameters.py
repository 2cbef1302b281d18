"""Quantization parameters: the record that every quantizer writes, and which tensors have some.

Activations fused into the operator before them (Relu, Clip) have none of their own; views (Reshape, Slice, ...)
and what picks or mixes values (MaxPool, Resize, ...) carry their input's.
"""

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.error import UserError
from nnrules.graph.ops.arg_max import ArgMax
from nnrules.graph.ops.rearrange import Rearrange
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.qdq_reader import AFFINE, FUSABLE, THRESHOLDED

VIEWS = (*Reshape.onnx_types, *Rearrange.onnx_types)
KEEPING = ("MaxPool", "GlobalMaxPool", "Pad", "Resize", "Upsample", "ReduceMax", "ReduceMin")
UNIT_RANGE = ("Softmax", "Sigmoid")
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MAGNITUDE = 127
LARGEST_BIAS = 2**30
SMALLEST_RATIO = 2**-16  # of accumulator step to output step: what one multiplier can express well


class Activation(msgspec.Struct, frozen=True):
    """real = scale * (integer - zero_point), int8; the scale is a float32 value."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float, symmetric: bool = False) -> "Activation":
        """The finest quantization whose 256 levels cover [low, high] and hold zero exactly; if ``symmetric`` those of
        values below zero lie from -127 to 127 about it."""
        low, high = min(low, 0.0), max(high, 0.0)
        if symmetric and low < 0:
            return cls(float(np.float32(max(high, -low, 1e-8) / 127)), 0)
        scale = float(np.float32(max(high - low, 1e-8) / 255))
        return cls(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


class QuantizationRecord(msgspec.Struct, frozen=True):
    """All parameters of a model: by tensor name for activations, by initializer name (one scale per channel) for
    weights. ``stated``: activations of few levels that a trained quantizer chose.
    """

    method: str
    activations: dict[str, Activation]
    weights: dict[str, list[float]]
    stated: tuple[str, ...] = ()


def carriers(model: onnx.ModelProto, stated: Collection[str] = ()) -> dict[str, str]:
    """For each value that is quantized, the tensor whose parameters it carries: mostly itself.

    ``stated``: values of few levels; what leads up to them is fused, see ``chains``.
    """
    passed = set(chains(model, stated))
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            consumers.setdefault(value, []).append(node)
    outputs = {value.name for value in model.graph.output}
    found = {value.name: value.name for value in model.graph.input}
    for node in model.graph.node:
        result, users = node.output[0], consumers.get(node.output[0], [])
        fused = len(users) == 1 and users[0].op_type in FUSABLE and result not in outputs
        if node.op_type in (*VIEWS, *KEEPING):
            if node.input[0] in found:
                found |= dict.fromkeys(node.output, found[node.input[0]])
        elif node.op_type not in ("Constant", *ArgMax.onnx_types) and not fused and result not in passed:
            found[result] = result
    return found


def chains(model: onnx.ModelProto, stated: Collection[str]) -> dict[str, str]:
    """The values between layers and the ``stated`` ones that need no quantization of their own, with the operator (its
    output's name) that gives the stated value, or is the start of a table.

    A layer whose outputs thresholds make takes over all of FUSABLE and AFFINE behind it; what has another origin or is
    read elsewhere too is quantized, and a table maps that to the stated value.
    """
    makers = {value: node for node in model.graph.node for value in node.output}
    reads = Counter(value for node in model.graph.node for value in node.input)
    constants = {i.name for i in model.graph.initializer}
    outputs = {value.name for value in model.graph.output}
    found: dict[str, str] = {}
    for name in stated:
        way, value = [], name
        while (maker := makers.get(value)) is not None and maker.op_type in (*FUSABLE, *AFFINE):
            before = [each for each in maker.input[:2] if each and each not in constants]
            if len(before) != 1 or reads[before[0]] > 1 or before[0] in outputs:
                break
            value = before[0]
            way.append((value, maker.op_type in AFFINE))
        origin = makers.get(value)
        if origin is not None and origin.op_type not in THRESHOLDED:
            last = max((i for i, (_, affine) in enumerate(way) if affine), default=-1)
            value = way[last][0] if last >= 0 else value
            way = [each for i, each in enumerate(way) if i != last]
        found |= dict.fromkeys((each for each, _ in way), value)
    return found


def channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a linear layer's weights that counts output channels."""
    if node.op_type in ("Conv", "ConvTranspose"):
        return int(node.op_type == "ConvTranspose")
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else 1


def weight_scales(
    model: onnx.ModelProto,
    activations: dict[str, Activation],
    where: str,
    stated: Collection[str] = (),
    codes: Mapping[str, np.ndarray] | None = None,
    per_channel: bool = True,
) -> dict[str, list[float]]:
    """By initializer name, one float32 scale per output channel: the largest weight becomes 127. Without
    ``per_channel`` they are all alike.

    A channel with hardly any weights gets a larger scale, so that its bias fits 31 bits and its multiplier is exact.
    ``codes``: by initializer, int8 in its layout, of weights that are already a channel's scale times these.
    """
    fitted = codes or {}
    initializers = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    carried = carriers(model, stated)
    readers = {value: node for node in model.graph.node for value in node.input}
    found: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        if node.op_type not in LINEAR or node.input[1] not in initializers:
            continue
        result = node.output[0]
        while result not in carried:
            result = readers[result].output[0]
        x, y = activations[carried[node.input[0]]].scale, activations[carried[result]].scale
        weights = initializers[node.input[1]]
        channels = np.moveaxis(weights, channel_axis(node), 0).reshape(weights.shape[channel_axis(node)], -1)
        bias = initializers[node.input[2]] if len(node.input) > 2 else np.zeros(len(channels))
        largest = np.abs(channels).max(1)
        if not (np.isfinite(largest).all() and np.isfinite(bias).all()):
            cure = "train again with a lower learning rate"
            raise UserError(f"{where}: '{node.input[1]}'", "holds NaN or infinite weights", cure)
        by_group = np.abs(bias).reshape(-1, len(channels) if bias.size > 1 else 1).max(0)
        least = by_group / (x * LARGEST_BIAS)
        floor = np.maximum(least, SMALLEST_RATIO * y / x)
        scales = np.maximum(largest / MAGNITUDE, floor)
        if not per_channel:
            scales = np.full_like(scales, scales.max())
        if node.input[1] in fitted:
            scales = _fitted_scales(node, channels, fitted[node.input[1]], where)
            scales = np.where(scales > 0, np.maximum(scales, least), floor)
        found[node.input[1]] = np.maximum(scales, found.get(node.input[1], 0)).astype(np.float32)
    return {name: scales.tolist() for name, scales in found.items()}


def _fitted_scales(node: onnx.NodeProto, channels: np.ndarray, codes: np.ndarray, where: str) -> np.ndarray:
    """What a code of 1 stands for in each channel, also where BatchNorm turned the sign; 0 where all weights are zero.

    Raises ArithmeticError where the weights are not codes times a scale.
    """
    axis = channel_axis(node)
    flat = np.moveaxis(codes, axis, 0).reshape(channels.shape).astype(np.float64)
    squares = (flat**2).sum(1)
    scales = (channels * flat).sum(1) / np.maximum(squares, 1)
    error = np.abs(channels - scales[:, np.newaxis] * flat).max(1)
    if (error > 1e-3 * np.abs(scales)).any():
        raise ArithmeticError(f"{where}: '{node.input[1]}' is not what its codes stand for")
    return np.abs(scales)
