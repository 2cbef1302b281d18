"""What a QDQ ONNX model says: attributes, quantization of activations, constant weights and biases.

Everything that cannot be understood is a UserError that names the node and what is supported.
"""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.error import UserError
from nnrules.graph.operator import Shape
from nnrules.graph.requant import quantized_bounds

FUSABLE = ("Relu", "Clip")
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class QuantizedConstant(NamedTuple):
    """Symmetric int8 weights and their scales, one per output channel (the first axis of ``values``)."""

    values: np.ndarray
    scales: np.ndarray


class OutputQuantization(msgspec.Struct, frozen=True):
    """What a node must produce: the tensor's name (after fused activations), its quantization and the int8 clamp."""

    name: str
    scale: float
    zero_point: int
    bounds: tuple[int, int]


class QdqReader:
    """A model with its batch fixed to one, all shapes inferred, and its constants by name."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model = _with_batch_of_one(model, name)
        self.name = name
        body = self.model.graph
        self.initializers = {i.name: numpy_helper.to_array(i) for i in body.initializer}
        self.producer = {output: node for node in body.node for output in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in body.node:
            for value in node.input:
                self.consumers.setdefault(value, []).append(node)
        self.shapes = {v.name: _dims(v)[1:] for v in (*body.value_info, *body.input, *body.output)}
        self._require_sizes()
        self._fused: set[str] = set()
        for node in body.node:
            if node.op_type == "Constant":
                self.initializers[node.output[0]] = _constant(node)

    def _require_sizes(self) -> None:
        """Raises UserError for an input that is not of one fixed size."""
        for value in self.model.graph.input:
            if value.name not in self.initializers and 0 in self.shapes[value.name]:
                fault = f"has no fixed size: {['N', *(d or '?' for d in self.shapes[value.name])]}"
                raise UserError(f"{self.name}: input '{value.name}'", fault, "export the model with fixed sizes")

    def place(self, node: onnx.NodeProto) -> str:
        """How messages name a node."""
        return f"{self.name}: node '{node.name or node.output[0]}' ({node.op_type})"

    def attributes(self, node: onnx.NodeProto, *known: str, **only: Any) -> dict[str, Any]:
        """The node's attributes; any outside ``known``, or unlike its single value in ``only``, is refused."""
        found = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        for name, value in found.items():
            if name in only and (
                value == only[name] or (isinstance(value, float) and math.isclose(value, only[name], rel_tol=1e-6))
            ):
                continue
            if name not in known:
                allowed = ", ".join([*known, *(f"{k}={v}" for k, v in only.items())]) or "none"
                raise UserError(
                    self.place(node), f"attribute {name}={_shown(value)} is not supported", f"supported: {allowed}"
                )
        return found

    def output(self, node: onnx.NodeProto) -> OutputQuantization:
        """Follow the node's output through activations that can be fused to its QuantizeLinear."""
        value, low, high = node.output[0], -math.inf, math.inf
        while True:
            users = self.consumers.get(value, [])
            quantizer = next((user for user in users if user.op_type == QUANTIZE), None)
            if quantizer is not None:
                others = [user for user in users if user.op_type != QUANTIZE]
                if others:
                    reader = others[0].name or others[0].output[0]
                    fault = f"its output '{value}' is read unquantized by node '{reader}'"
                    raise UserError(self.place(node), fault, "let every reader follow the DequantizeLinear")
                break
            if len(users) != 1 or users[0].op_type not in FUSABLE:
                raise UserError(
                    self.place(node),
                    f"its output '{value}' is not quantized",
                    "put QuantizeLinear and DequantizeLinear after it",
                )
            bounds = self.clip_bounds(users[0]) if users[0].op_type == "Clip" else (0.0, math.inf)
            low, high = max(low, bounds[0]), min(high, bounds[1])
            value = users[0].output[0]
            self._fused.add(value)
        scale, zero_point = self.scalar_quantization(quantizer)
        return OutputQuantization(value, scale, zero_point, quantized_bounds(scale, zero_point, low, high))

    def clip_bounds(self, node: onnx.NodeProto) -> tuple[float, float]:
        """The real bounds of a Clip, from its inputs (constants) or its old attributes."""
        found = self.attributes(node, "min", "max")
        bounds = [float(found.get("min", -math.inf)), float(found.get("max", math.inf))]
        for position, value in enumerate(node.input[1:]):
            if value:
                constant = self._real_constant(value)
                if constant is None:
                    raise UserError(
                        self.place(node), "its bounds are not constant", "only constant bounds are supported"
                    )
                bounds[position] = float(constant)
        return bounds[0], bounds[1]

    def scalar_quantization(self, node: onnx.NodeProto) -> tuple[float, int]:
        """Scale and int8 zero point of an activation's Quantize- or DequantizeLinear; u8 becomes s8 by subtracting
        128.
        """
        scale = self.initializers.get(node.input[1])
        point = self.initializers.get(node.input[2]) if len(node.input) > 2 else np.uint8(0)
        if scale is None or point is None or np.size(scale) != 1:
            raise UserError(
                self.place(node), "needs one constant scale and zero point", "quantize activations per tensor"
            )
        kind = np.asarray(point).dtype
        if kind not in (np.int8, np.uint8):
            raise UserError(self.place(node), f"quantizes to {kind}", "only int8 and uint8 activations are supported")
        if not (math.isfinite(float(scale)) and float(scale) > 0):
            raise UserError(self.place(node), f"its scale is {float(scale)}", "check the model for NaN")
        return float(scale), int(point) - (128 if kind == np.uint8 else 0)

    def weights(self, node: onnx.NodeProto, value: str, rank: int, transposed: bool = False) -> QuantizedConstant:
        """Constant weights as symmetric int8 with the output channel first (after transposing, if asked to)."""
        source = self._dequantized(value)
        if source is None:
            raise UserError(self.place(node), "its weights are not quantized constants", "quantize the model first")
        values, axis = self._centred(source)
        scales = np.atleast_1d(self.initializers[source.input[1]]).astype(np.float64)
        if values.ndim != rank:
            fault = f"its weights have {values.ndim} dimensions"
            raise UserError(self.place(node), fault, f"only {rank} are supported")
        channel = 1 if transposed else 0
        if scales.size > 1 and (axis != channel or scales.shape != values.shape[channel : channel + 1]):
            fault = f"its weights' scales run along axis {axis}"
            raise UserError(
                self.place(node), fault, f"only scales along the output channels (axis {channel}) are supported"
            )
        if values.min(initial=0) < -128 or values.max(initial=0) > 127:
            raise UserError(
                self.place(node), "its weights leave 8 bits after their zero point", "use symmetric weights"
            )
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise UserError(self.place(node), "its weights' scale is not a positive number", "check the model for NaN")
        values = np.moveaxis(values, channel, 0)
        return QuantizedConstant(values.astype(np.int8), np.broadcast_to(scales, (len(values),)))

    def bias(self, node: onnx.NodeProto, value: str, scales: np.ndarray) -> np.ndarray:
        """One bias per channel in units of ``scales``: stored integers as they are, real ones rounded half to even."""
        source = self._dequantized(value)
        bias = self._real_constant(value)
        if bias is None or not np.isfinite(bias).all():
            raise UserError(self.place(node), "its bias is not a constant of finite numbers", "check the model for NaN")
        if source is not None and np.allclose(self.initializers[source.input[1]], scales, rtol=1e-5, atol=0):
            bias = self._centred(source)[0]
        else:
            bias = np.rint(bias.astype(np.float64) / scales).astype(np.int64)
        if bias.size not in (1, len(scales)) or bias.size != max(bias.shape, default=1):
            fault = f"its bias has shape {bias.shape}"
            raise UserError(
                self.place(node), fault, f"only one value for each of its {len(scales)} channels is supported"
            )
        return np.broadcast_to(bias.reshape(-1), (len(scales),))

    def _dequantized(self, value: str) -> onnx.NodeProto | None:
        """The DequantizeLinear of stored integers that makes a value, if one does."""
        source = self.producer.get(value)
        stored = source is not None and source.op_type == DEQUANTIZE and source.input[0] in self.initializers
        return source if stored else None

    def _centred(self, source: onnx.NodeProto) -> tuple[np.ndarray, int]:
        """A DequantizeLinear's stored integers less their zero point, int64, and the axis of its scales."""
        values = self.initializers[source.input[0]].astype(np.int64)
        axis = _attribute(source, "axis", 1) % max(values.ndim, 1)
        if len(source.input) > 2:
            points = self.initializers[source.input[2]].astype(np.int64)
            values = values - (points.reshape(_along(axis, values.ndim)) if points.size > 1 else points)
        return values, axis

    def _real_constant(self, value: str) -> np.ndarray | None:
        """A constant as real numbers, dequantized if it is stored as integers."""
        if value in self.initializers:
            return self.initializers[value]
        source = self._dequantized(value)
        if source is None:
            return None
        integers, axis = self._centred(source)
        scales = self.initializers[source.input[1]]
        return integers * (scales.reshape(_along(axis, integers.ndim)) if scales.size > 1 else scales).astype(
            np.float64
        )


def _with_batch_of_one(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy with the leading axis of every input fixed to one and all shapes inferred."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in fixed.graph.input:
        dims = value.type.tensor_type.shape.dim
        if dims:
            dims[0].dim_value = 1
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    del fixed.graph.value_info[:]
    try:
        return onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        fault = (
            str(error).replace("[ShapeInferenceError]", "").replace("Inference error(s): ", "").strip().splitlines()[0]
        )
        raise UserError(name, "its shapes do not fit", f"onnx says: {fault}") from None


def _dims(value: onnx.ValueInfoProto) -> Shape:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _constant(node: onnx.NodeProto) -> np.ndarray:
    """The value of a Constant node, in whichever attribute it stands."""
    value = onnx.helper.get_attribute_value(node.attribute[0])
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _along(axis: int, rank: int) -> list[int]:
    """The shape in which one value per index of an axis broadcasts."""
    return [-1 if a == axis else 1 for a in range(rank)]


def _shown(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
