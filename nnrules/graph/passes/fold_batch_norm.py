"""BatchNormalization right after a Conv or Gemm -> its weights and bias, float or already quantized."""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, Body

LAYERS = {"Conv": 0, "Gemm": 0, "ConvTranspose": 1}


def run(body: Body) -> None:
    """Quantized weights keep their integers: the scales are multiplied, and a negative factor turns the signs."""
    for norm in [each for each in body.nodes if each.op_type == "BatchNormalization"]:
        layer = body.producer.get(norm.input[0])
        constants = [body.constant(value) for value in norm.input[1:5]]
        if layer is None or layer.op_type not in LAYERS or body.only_user(layer.output[0]) is not norm:
            continue
        if any(each is None for each in constants) or not _foldable(body, layer):
            continue
        gamma, beta, mean, variance = (each.astype(np.float64) for each in constants if each is not None)
        with np.errstate(all="ignore"):
            factor = gamma / np.sqrt(variance + body.attribute(norm, "epsilon", 1e-5))
        if not (np.isfinite(factor).all() and (factor != 0).all()):
            continue
        _fold(body, layer, norm, factor, beta - mean * factor)


def _foldable(body: Body, layer: onnx.NodeProto) -> bool:
    """Whether weights and bias are constants that are this layer's alone, and no scale runs along another axis."""
    if body.attribute(layer, "group", 1) != 1 and layer.op_type == "ConvTranspose":
        return False
    if layer.op_type == "Gemm" and (body.attribute(layer, "alpha", 1.0), body.attribute(layer, "beta", 1.0)) != (1, 1):
        return False
    return real_constant(body, layer.input[1]) is not None and (
        not body.input(layer, 2) or real_constant(body, layer.input[2]) is not None
    )


def real_constant(body: Body, value: str) -> np.ndarray | None:
    """A constant as real numbers."""
    if value in body.constants:
        return body.constants[value].astype(np.float64)
    source = body.producer.get(value)
    if source is None or source.op_type != DEQUANTIZE or source.input[0] not in body.constants:
        return None
    stored, scale = body.constants[source.input[0]].astype(np.float64), body.constants.get(source.input[1])
    if scale is None or (body.input(source, 2) and source.input[2] not in body.constants):
        return None
    point = body.constants[source.input[2]].astype(np.float64) if body.input(source, 2) else np.float64(0)
    shape = _along(body.attribute(source, "axis", 1), stored.ndim)
    lifted = [each.reshape(shape) if each.size > 1 else each.reshape(()) for each in (scale.astype(np.float64), point)]
    return (stored - lifted[1]) * lifted[0]


def _fold(body: Body, layer: onnx.NodeProto, norm: onnx.NodeProto, factor: np.ndarray, shift: np.ndarray) -> None:
    axis = channel_axis(body, layer)
    before = real_constant(body, layer.input[2]) if body.input(layer, 2) else None
    bias = (np.zeros(len(factor)) if before is None else before.reshape(-1)) * factor + shift
    weights = scaled_weights(body, layer, axis, factor)
    name = body.add_constant(f"{norm.output[0]}/bias", bias.astype(np.float32))
    inputs = [layer.input[0], weights, name]
    fused = onnx.helper.make_node(layer.op_type, inputs, [norm.output[0]], name=layer.name or norm.output[0])
    fused.attribute.extend(layer.attribute)
    body.nodes = [each for each in body.nodes if each is not layer]
    body.index()
    body.replace(norm, [fused])


def scaled_weights(body: Body, layer: onnx.NodeProto, axis: int, factor: np.ndarray) -> str:
    """The weights times `factor` along an axis, under a new name."""
    value = layer.input[1]
    if value in body.constants:
        real = body.constants[value].astype(np.float64)
        scaled = (real * factor.reshape(_along(axis, real.ndim))).astype(np.float32)
        return body.add_constant(f"{value}/folded", scaled)
    source = body.producer[value]
    stored, scale = body.constants[source.input[0]], body.constants[source.input[1]].astype(np.float64)
    point = body.constants[source.input[2]].astype(np.int64) if body.input(source, 2) else np.int64(0)
    lifted = np.reshape(point, _along(axis, stored.ndim)) if np.size(point) > 1 else np.reshape(point, ())
    centred = stored.astype(np.int64) - lifted
    turned = centred * np.where(factor < 0, -1, 1).reshape(_along(axis, stored.ndim))
    kept = turned if turned.min(initial=0) >= -128 and turned.max(initial=0) <= 127 else np.clip(turned, -127, 127)
    names = [
        body.add_constant(f"{value}/folded/quantized", kept.astype(np.int8)),
        body.add_constant(
            f"{value}/folded/scale", (np.broadcast_to(scale, factor.shape) * np.abs(factor)).astype(np.float32)
        ),
        body.add_constant(f"{value}/folded/zero_point", np.zeros(len(factor), np.int8)),
    ]
    result = body.fresh(f"{value}/folded")
    body.insert_after(source, body.make(DEQUANTIZE, names, result, axis=axis))
    return result


def channel_axis(body: Body, layer: onnx.NodeProto) -> int:
    """The axis of the weights that counts output channels."""
    if layer.op_type == "Gemm":
        return 0 if body.attribute(layer, "transB", 0) else 1
    return LAYERS[layer.op_type]


def _along(axis: int, rank: int) -> list[int]:
    return [-1 if each == axis % max(rank, 1) else 1 for each in range(rank)]
