"""What a QDQ ONNX model says: attributes, quantization of activations, constant weights and biases.

Everything that cannot be understood is a UserError that names the node and what is supported.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from nnrules.error import UserError
from nnrules.graph.operator import Shape
from nnrules.graph.requant import quantized_bounds
from nnrules.graph.stored import QUANTIZE, Stored
from nnrules.graph.thresholds import MOST_LEVELS

Reals = NDArray[np.float64]
Step = Callable[[Reals], Reals]

FUSABLE = ("Relu", "Clip")
AFFINE = ("Mul", "Div", "Add", "Sub")  # by a constant, above zero if it is a factor: fused where thresholds do it
THRESHOLDED = ("Conv", "Gemm")


class QuantizedConstant(NamedTuple):
    """Symmetric int8 weights and their scales, one per output channel (the first axis of ``values``)."""

    values: np.ndarray
    scales: np.ndarray


class OutputQuantization(msgspec.Struct, frozen=True):
    """What a node must produce: the tensor's name (after fused activations), its quantization and the int8 clamp.

    ``steps``: the fused activations in their order where constants are among them; each maps real values with the
    channel last. Where these are numbers, ``line`` is what they do between the bounds: slope and offset.
    """

    name: str
    scale: float
    zero_point: int
    bounds: tuple[int, int]
    steps: tuple[Step, ...] = ()
    line: tuple[float, float] | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether there are few enough levels for thresholds."""
        return self.bounds[1] - self.bounds[0] < MOST_LEVELS

    def levels(self, real: Reals) -> Reals:
        """The integers of a layer's real outputs, channel last, rounded half to even as QuantizeLinear does."""
        for step in self.steps:
            real = step(real)
        return np.clip(np.rint(real / self.scale) + self.zero_point, *self.bounds)


class QdqReader:
    """A model with its batch fixed to one, all shapes inferred, and its constants by name."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model = _with_batch_of_one(model, name)
        self.name = name
        body = self.model.graph
        self.stored = Stored(body)
        self.initializers = self.stored.arrays
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in body.node:
            for value in node.input:
                self.consumers.setdefault(value, []).append(node)
        self.shapes = {v.name: _dims(v)[1:] for v in (*body.value_info, *body.input, *body.output)}
        self._require_sizes()
        self._fused: set[str] = set()

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
        """Follow the node's output through activations that can be fused to its QuantizeLinear.

        Behind THRESHOLDED layers, and behind what becomes a table, AFFINE steps are such too where few levels come out.
        """
        value, low, high, steps = node.output[0], -math.inf, math.inf, list[Step]()
        behind = ""  # the value in front of the first AFFINE step
        while (quantizer := self._quantizer(node, value)) is None:
            user = self._only_user(value)
            affine = self._affine(user, value) if user is not None and self._takes_steps(node, user) else None
            if user is None or (user.op_type not in FUSABLE and affine is None):
                raise self._unquantized(node, value)
            if affine is None:
                bounds = self.clip_bounds(user) if user.op_type == "Clip" else (0.0, math.inf)
                low, high = max(low, bounds[0]), min(high, bounds[1])
                steps.append(partial(np.clip, a_min=bounds[0], a_max=bounds[1]))
            else:
                behind = behind or value
                steps.append(affine)
            value = user.output[0]
            self._fused.add(value)
        scale, zero_point = self.scalar_quantization(quantizer)
        if not behind:
            return OutputQuantization(value, scale, zero_point, quantized_bounds(scale, zero_point, low, high))
        found = OutputQuantization(value, scale, zero_point, (-128, 127), tuple(steps))
        ends = [found.levels(np.array(end)) for end in (-math.inf, math.inf)]
        line = _line(steps) if all(each.size == 1 for each in ends) else None
        found = msgspec.structs.replace(found, bounds=(int(ends[0].min()), int(ends[1].max())), line=line)
        if not found.is_narrow and line is None:
            raise self._unquantized(node, behind)
        return found

    def _quantizer(self, node: onnx.NodeProto, value: str) -> onnx.NodeProto | None:
        """The QuantizeLinear of a value, which must be all that reads it then."""
        users = self.consumers.get(value, [])
        quantizer = next((user for user in users if user.op_type == QUANTIZE), None)
        others = [user for user in users if user.op_type != QUANTIZE]
        if quantizer is not None and others:
            fault = f"its output '{value}' is read unquantized by node '{others[0].name or others[0].output[0]}'"
            raise UserError(self.place(node), fault, "let every reader follow the DequantizeLinear")
        return quantizer

    def _only_user(self, value: str) -> onnx.NodeProto | None:
        users = self.consumers.get(value, [])
        return users[0] if len(users) == 1 else None

    def _affine(self, node: onnx.NodeProto, value: str) -> Step | None:
        """What an AFFINE node does to a value whose channels are the first axis; None where it is none."""
        if node.op_type not in AFFINE:
            return None
        first = node.input[0] == value
        constant = self.stored.real(node.input[1 if first else 0])
        channels, *image = self.shapes[value]
        if constant is None or (constant.size != 1 and constant.reshape(-1).shape != (channels,)):
            return None
        if constant.size != 1 and constant.shape[len(constant.shape) - len(image) - 1 :] != (
            channels,
            *[1] * len(image),
        ):
            return None
        numbers = constant.astype(np.float64).reshape(-1)
        if node.op_type in ("Mul", "Div") and not (numbers > 0).all():
            return None
        if node.op_type in ("Div", "Sub") and not first:
            return None
        function = {"Mul": np.multiply, "Div": np.divide, "Add": np.add, "Sub": np.subtract}[node.op_type]
        return lambda real: function(real, numbers)

    def _takes_steps(self, node: onnx.NodeProto, user: onnx.NodeProto) -> bool:
        """Whether AFFINE steps of ``user`` can be fused to a node: by thresholds, or to a table if they are numbers."""
        numbers = (
            self.stored.real(value) for each in (node, user) for value in each.input if value in self.initializers
        )
        single = all(number is None or number.size == 1 for number in numbers)
        return node.op_type in THRESHOLDED or (node.op_type in (*FUSABLE, *AFFINE) and single)

    def _unquantized(self, node: onnx.NodeProto, value: str) -> UserError:
        cure = "put QuantizeLinear and DequantizeLinear after it"
        return UserError(self.place(node), f"its output '{value}' is not quantized", cure)

    def clip_bounds(self, node: onnx.NodeProto) -> tuple[float, float]:
        """The real bounds of a Clip, from its inputs (constants) or its old attributes."""
        found = self.attributes(node, "min", "max")
        bounds = [float(found.get("min", -math.inf)), float(found.get("max", math.inf))]
        for position, value in enumerate(node.input[1:]):
            if value:
                constant = self.stored.real(value)
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
        source = self.stored.dequantized(value)
        if source is None:
            raise UserError(self.place(node), "its weights are not quantized constants", "quantize the model first")
        values, axis = self.stored.centred(source)
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
            cure = "quantize them to 8 bits (weight_type=QuantType.QInt8 in onnxruntime.quantization)"
            raise UserError(self.place(node), "its weights leave 8 bits after their zero point", cure)
        if not (np.isfinite(scales).all() and (scales > 0).all()):
            raise UserError(self.place(node), "its weights' scale is not a positive number", "check the model for NaN")
        values = np.moveaxis(values, channel, 0)
        return QuantizedConstant(values.astype(np.int8), np.broadcast_to(scales, (len(values),)))

    def bias(self, node: onnx.NodeProto, value: str, scales: np.ndarray) -> np.ndarray:
        """One bias per channel in units of ``scales``: stored integers as they are, real ones rounded half to even."""
        real, source = self.real_bias(node, value, len(scales)), self.stored.dequantized(value)
        if source is not None and self._has_scales(source, scales):
            return np.broadcast_to(self.stored.centred(source)[0].reshape(-1), (len(scales),))
        return np.rint(real / scales).astype(np.int64)

    def real_bias(self, node: onnx.NodeProto, value: str, channels: int) -> Reals:
        """One bias per channel as a real number."""
        bias = self.stored.real(value)
        if bias is None or not np.isfinite(bias).all():
            raise UserError(self.place(node), "its bias is not a constant of finite numbers", "check the model for NaN")
        if bias.size not in (1, channels) or bias.size != max(bias.shape, default=1):
            fault = f"its bias has shape {bias.shape}"
            raise UserError(self.place(node), fault, f"only one value for each of its {channels} channels is supported")
        return np.broadcast_to(bias.astype(np.float64).reshape(-1), (channels,))

    def _has_scales(self, source: onnx.NodeProto, scales: np.ndarray) -> bool:
        """Whether a DequantizeLinear counts in these units."""
        own = self.initializers[source.input[1]]
        return own.size in (1, len(scales)) and np.allclose(own, scales, rtol=1e-5, atol=0)

    def constant(self, node: onnx.NodeProto, position: int) -> np.ndarray | None:
        """A further input as a constant, None where it is left out; raises UserError where it is not constant."""
        value = node.input[position] if position < len(node.input) else ""
        if value and value not in self.initializers:
            raise UserError(
                self.place(node), f"its input '{value}' is not a constant", "only constant ones are supported"
            )
        return self.initializers[value] if value else None

    def real_constant(self, node: onnx.NodeProto, position: int) -> np.ndarray:
        """A further input that must be a constant, as float64, dequantized where it is stored as integers."""
        constant = self.stored.real(node.input[position])
        if constant is None:
            fault, cure = f"its input '{node.input[position]}' is not a constant", "only constant ones are supported"
            raise UserError(self.place(node), fault, cure)
        return constant.astype(np.float64)


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


def _line(steps: Sequence[Step]) -> tuple[float, float]:
    """What steps by single numbers do to real values that none of their clips reaches: slope and offset."""
    slope, offset = 1.0, 0.0
    for step in steps:
        if not (isinstance(step, partial) and step.func is np.clip):
            start = float(step(np.zeros(1))[0])
            slope, offset = slope * float(step(np.ones(1))[0] - start), float(step(np.full(1, offset))[0])
    return slope, offset


def _shown(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
