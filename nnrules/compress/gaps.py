"""Partly quantized models: what has no scale and zero point yet gets some, next to those that are there.

Tools leave out different things: the inputs, the outputs, a convolution whose sum is quantized behind the addition,
the weights of the last layer. Whatever a model says itself is kept as it is.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from nnrules.compress.parameters import LARGEST_BIAS, LINEAR, MAGNITUDE, SMALLEST_RATIO, UNIT_RANGE, Activation
from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body
from nnrules.graph.ops.arg_max import ArgMax
from nnrules.graph.passes import carry_quantization, merge_duplicates, read_quantized, sink_views
from nnrules.graph.qdq_reader import FUSABLE

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout")
UNMEASURED = (QUANTIZE, DEQUANTIZE, *VIEWS, *ArgMax.onnx_types, *carry_quantization.KEEPING, "Split")
UNIT = Activation(1 / 256, -128)

Ranges = Callable[[onnx.ModelProto, list[str]], Mapping[str, Activation]]


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a model quantizes anything itself."""
    return any(node.op_type in (QUANTIZE, DEQUANTIZE) for node in model.graph.node)


def fill(
    model: onnx.ModelProto, name: str, calibrate: Ranges
) -> tuple[onnx.ModelProto, dict[str, Activation], dict[str, list[float]]]:
    """The model with every activation and all weights quantized, and what was chosen, by tensor and by initializer.

    `calibrate(model, tensors)` chooses for activations; it is called only where some are missing. Raises UserError for
    a layer that reads weights which are not constant.
    """
    body = Body(model, name)
    missing = unquantized(body)
    fixed = {value: UNIT for value in missing if _kind(body, value) in UNIT_RANGE}
    measured = [value for value in missing if value not in fixed]
    chosen = {**fixed, **(calibrate(body.model(), measured) if measured else {})}
    for value in missing:
        _insert_pair(body, value, chosen[value])
    for tidy in (merge_duplicates, read_quantized, sink_views, carry_quantization):
        tidy.run(body)
    weights = _quantize_weights(body)
    body.prune()
    return body.model(), chosen, weights


def unquantized(body: Body) -> list[str]:
    """The activations without a QuantizeLinear, those left out that carry another's quantization."""
    found = [each.name for each in body.inputs if not _has_pair(body, each.name)]
    for node in body.nodes:
        if node.op_type in UNMEASURED or _is_fused(body, node):
            continue
        for value in node.output:
            end = _behind_activations(body, value)
            if value and not _has_pair(body, end):
                found.append(end)
    return found


def _kind(body: Body, value: str) -> str:
    maker = body.producer.get(value)
    return maker.op_type if maker is not None else ""


def _is_fused(body: Body, node: onnx.NodeProto) -> bool:
    """Whether a node is an activation that its layer takes over."""
    source = body.producer.get(node.input[0])
    alone = body.only_user(node.input[0]) is node
    return node.op_type in FUSABLE and source is not None and alone and source.op_type not in (DEQUANTIZE, *VIEWS)


def _behind_activations(body: Body, value: str) -> str:
    """The value behind the activations that are fused."""
    while (user := body.only_user(value)) is not None and user.op_type in FUSABLE and _is_fused(body, user):
        value = user.output[0]
    return value


def _has_pair(body: Body, value: str) -> bool:
    """Whether a QuantizeLinear reads a value, maybe behind views."""
    users = body.users(value)
    if any(each.op_type == QUANTIZE for each in users):
        return True
    only = body.only_user(value)
    return only is not None and only.op_type in VIEWS and _has_pair(body, only.output[0])


def _insert_pair(body: Body, value: str, parameters: Activation) -> None:
    real = value
    if value in body.ends:
        real = body.fresh(f"{value}/real")
        body.rename(value, real)
    edge = [
        body.add_constant(f"{value}/scale", np.array(parameters.scale, np.float32)),
        body.add_constant(f"{value}/zero_point", np.array(parameters.zero_point, np.int8)),
    ]
    stored, restored = body.fresh(f"{value}/quantized"), value if real != value else body.fresh(f"{value}/dequantized")
    pair = [body.make(QUANTIZE, [real, *edge], stored), body.make(DEQUANTIZE, [stored, *edge], restored)]
    body.redirect(real, restored)
    body.insert_after(body.producer.get(real), *pair)


def _quantize_weights(body: Body) -> dict[str, list[float]]:
    """Float weights become int8, symmetric, a scale for each output channel."""
    found = {}
    for node in [each for each in body.nodes if each.op_type in LINEAR]:
        value = node.input[1]
        if value not in body.constants:
            continue
        axis = _channel_axis(body, node)
        real = body.constants[value].astype(np.float64)
        channels = np.moveaxis(real, axis, 0).reshape(real.shape[axis], -1)
        largest = np.abs(channels).max(1)
        if not np.isfinite(largest).all():
            raise UserError(f"{body.name}: '{value}'", "holds NaN or infinite weights", "check the model for NaN")
        scales = np.maximum(largest / MAGNITUDE, _least(body, node, len(channels))).astype(np.float32)
        shape = [-1 if each == axis else 1 for each in range(real.ndim)]
        integers = np.clip(np.rint(real / scales.reshape(shape).astype(np.float64)), -MAGNITUDE, MAGNITUDE)
        names = [
            body.add_constant(f"{value}/quantized", integers.astype(np.int8)),
            body.add_constant(f"{value}/scale", scales),
            body.add_constant(f"{value}/zero_point", np.zeros(len(scales), np.int8)),
        ]
        restored = body.fresh(f"{value}/dequantized")
        body.insert_after(None, body.make(DEQUANTIZE, names, restored, axis=axis))
        node.input[1] = restored
        body.index()
        found[value] = [float(each) for each in scales]
    return found


def _least(body: Body, node: onnx.NodeProto, channels: int) -> np.ndarray:
    """The smallest scales with which the bias fits 31 bits and one multiplier is exact."""
    source = body.producer.get(node.input[0])
    while source is not None and source.op_type in VIEWS:
        source = body.producer.get(source.input[0])
    after = next(
        (each for each in body.users(_behind_activations(body, node.output[0])) if each.op_type == QUANTIZE), None
    )
    if source is None or after is None:
        return np.full(channels, 1e-12)
    x, y = (float(body.constants[each.input[1]].reshape(-1)[0]) for each in (source, after))
    bias = body.constant(body.input(node, 2))
    magnitude = np.zeros(1) if bias is None else np.abs(bias.astype(np.float64)).reshape(-1)
    return np.broadcast_to(np.maximum(magnitude / (x * LARGEST_BIAS), SMALLEST_RATIO * y / x), (channels,))


def _channel_axis(body: Body, node: onnx.NodeProto) -> int:
    if node.op_type == "Conv":
        return 0
    return 0 if node.op_type == "Gemm" and body.attribute(node, "transB", 0) else 1
