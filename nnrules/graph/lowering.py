"""QDQ ONNX -> the integer graph.

A quantized model says with QuantizeLinear / DequantizeLinear pairs which integers stand for each tensor.  Lowering
walks it once, in order; each operator's ``lower`` asks this class for its inputs and its output's quantization and
adds a node.

Layout is bookkeeping, not work: each ONNX value is a *view*, an array with the value's ONNX shape holding positions
in an NHWC tensor of the graph.  Transpose, Flatten and Reshape only rearrange views; a consumer that cannot use its
view as it lies is refused with the node's name.
"""

import math
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Operator, Shape
from nnrules.graph.ops import BY_ONNX_TYPE
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.requant import (
    Requantization,
    accumulator_bound,
    certified_bias,
    channel_requantization,
    quantized_bounds,
)

FUSABLE = ("Relu", "Clip")
QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class View(msgspec.Struct, frozen=True):
    """An ONNX value: ``index`` has its shape, without batch, and holds flat positions in tensor ``name``."""

    name: str
    index: np.ndarray


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


def lower(model: onnx.ModelProto, name: str) -> Graph:
    """The integer graph of a QDQ model; UserErrors name the node and what is supported."""
    return Lowering(model, name).graph()


class Lowering:
    """The state of one lowering."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        self.model = _with_batch_of_one(model)
        self.name = name
        body = self.model.graph
        self.initializers = {i.name: numpy_helper.to_array(i) for i in body.initializer}
        self.producer = {output: node for node in body.node for output in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in body.node:
            for value in node.input:
                self.consumers.setdefault(value, []).append(node)
        self.shapes = {v.name: _dims(v)[1:] for v in (*body.value_info, *body.input, *body.output)}
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.views: dict[str, View] = {}
        self._fused: set[str] = set()
        for node in body.node:
            if node.op_type == "Constant":
                self.initializers[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)

    # The walk.

    def graph(self) -> Graph:
        """Walk the model and return the finished graph."""
        body = self.model.graph
        inputs = [self._input(value) for value in body.input if value.name not in self.initializers]
        for node in body.node:
            if node.op_type == QUANTIZE:
                self._quantize(node)
            elif node.op_type == DEQUANTIZE:
                if node.input[0] in self.views:
                    self.views[node.output[0]] = self.views[node.input[0]]
            elif node.op_type != "Constant" and node.output[0] not in self._fused:
                self._operator(node)
        outputs = {self._output_tensor(value): value.name for value in body.output}
        if len(outputs) < len(body.output):
            raise UserError(self.name, "two outputs of the model are one tensor", "drop one of them")
        return self._named(tuple(inputs), outputs)

    def _named(self, inputs: tuple[str, ...], outputs: dict[str, str]) -> Graph:
        """The finished graph, its outputs under the names they have in the ONNX file."""

        def name(tensor: str) -> str:
            return tensor if tensor in inputs else outputs.get(tensor, tensor)

        tensors = {name(t.name): msgspec.structs.replace(t, name=name(t.name)) for t in self.tensors.values()}
        nodes = [
            msgspec.structs.replace(n, inputs=tuple(name(i) for i in n.inputs), output=name(n.output))
            for n in self.nodes
        ]
        return Graph(
            name=self.name, inputs=inputs, outputs=tuple(map(name, outputs)), tensors=tensors, nodes=tuple(nodes)
        )

    def _operator(self, node: onnx.NodeProto) -> None:
        handler = BY_ONNX_TYPE.get(node.op_type)
        if handler is None:
            known = ", ".join(sorted(BY_ONNX_TYPE))
            raise UserError(self.place(node), f"operator {node.op_type} is not supported", f"supported are {known}")
        handler.lower(self, node)

    def _input(self, value: onnx.ValueInfoProto) -> str:
        """A model input: its NHWC tensor, from the QuantizeLinear that reads it or from its own integer type."""
        users = self.consumers.get(value.name, [])
        edge = next((n for n in users if n.op_type in (QUANTIZE, DEQUANTIZE)), None)
        if edge is None:
            raise UserError(f"{self.name}: input '{value.name}'", "is not quantized", "quantize the model first")
        scale, zero_point = self._scalar_quantization(edge)
        shape = self.shapes[value.name]
        channels_first = len(shape) == 3 and self._feeds_image_first(value.name)
        stored = (*shape[1:], shape[0]) if channels_first else shape
        layout = "nchw" if channels_first else "nhwc"
        self.tensors[value.name] = Tensor(
            name=value.name, shape=stored, scale=scale, zero_point=zero_point, layout=layout
        )
        index = np.arange(math.prod(shape)).reshape(stored)
        self.views[value.name] = View(value.name, np.moveaxis(index, -1, 0) if channels_first else index)
        return value.name

    def _feeds_image_first(self, name: str) -> bool:
        """Whether the first real operator reading an input of three dimensions expects channels first."""
        for node in self.consumers.get(name, []):
            if node.op_type in (QUANTIZE, DEQUANTIZE, "Identity"):
                return self._feeds_image_first(node.output[0])
            return node.op_type not in ("Transpose", "Reshape", "Flatten", "Gemm", "MatMul")
        return False

    def _quantize(self, node: onnx.NodeProto) -> None:
        """A view that is quantized once more: the same integers, or a change of scale by a table."""
        view = self.views.get(node.input[0])
        if view is None:
            raise UserError(self.place(node), "quantizes a constant", "store the constant as integers")
        scale, zero_point = self._scalar_quantization(node)
        tensor = self.tensors[view.name]
        if (scale, zero_point) != (tensor.scale, tensor.zero_point):
            table = Lookup.of(lambda x: x, (tensor.scale, tensor.zero_point), (scale, zero_point))
            rescaled = msgspec.structs.replace(tensor, name=node.output[0], scale=scale, zero_point=zero_point)
            self._append(node.output[0], table, [tensor.name], rescaled)
            view = View(rescaled.name, view.index)
        self.views[node.output[0]] = view

    def _output_tensor(self, value: onnx.ValueInfoProto) -> str:
        view = self.views.get(value.name)
        if view is None:
            raise UserError(
                f"{self.name}: output '{value.name}'", "is not quantized", "quantize the model's outputs too"
            )
        tensor = self.tensors[view.name]
        if view.index.ndim == 3 and _is_identity(np.moveaxis(view.index, 0, -1)):
            shape, layout = (*view.index.shape[1:], view.index.shape[0]), "nchw"
        elif _is_identity(view.index):
            shape, layout = view.index.shape, "nhwc"
        else:
            raise UserError(
                f"{self.name}: output '{value.name}'", "is a transposition that moves data", "end the model before it"
            )
        name = self._shaped(tensor, shape)
        self.tensors[name] = msgspec.structs.replace(self.tensors[name], layout=layout)
        return name

    # What the operators ask for.

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

    def image(self, node: onnx.NodeProto, value: str) -> Tensor:
        """An input that must be an image, as its NHWC tensor (height, width, channels)."""
        view = self._view(node, value)
        if view.index.ndim != 3:
            raise UserError(
                self.place(node),
                f"its input has shape {_batched(view.index.shape)}",
                "only 2-D images (N, C, H, W) are supported",
            )
        return self._lying(node, view.name, np.moveaxis(view.index, 0, -1))

    def rows(self, node: onnx.NodeProto, value: str) -> tuple[Tensor, np.ndarray]:
        """An input whose last axis is multiplied: its tensor and, for each ONNX feature, the feature's place in the
        tensor.
        """
        view = self._view(node, value)
        tensor = self.tensors[view.name]
        if view.index.ndim == 1:
            return self.tensors[self._shaped(tensor, (view.index.size,))], view.index
        return self._lying(node, view.name, view.index), np.arange(view.index.shape[-1])

    def last_axis(self, node: onnx.NodeProto, value: str, axis: int) -> Tensor:
        """An input worked on along one axis, which must be the last in memory (channels of an image)."""
        view = self._view(node, value)
        axis = axis % (view.index.ndim + 1) - 1
        return self._lying(node, view.name, np.moveaxis(view.index, axis, -1))

    def whole(self, node: onnx.NodeProto, value: str) -> Tensor:
        """An input of an element-wise operator: any view will do, the output takes over its layout."""
        return self.tensors[self._view(node, value).name]

    def alike(self, node: onnx.NodeProto, values: list[str]) -> list[Tensor]:
        """Inputs of an element-wise operator that must have one shape and one layout."""
        views = [self._view(node, value) for value in values]
        if any(not np.array_equal(view.index, views[0].index) for view in views):
            raise UserError(
                self.place(node),
                "its inputs differ in shape: " + " and ".join(str(_batched(v.index.shape)) for v in views),
                "only inputs of one shape are supported",
            )
        return [self.tensors[view.name] for view in views]

    def joined(self, node: onnx.NodeProto, axis: int) -> tuple[list[Tensor], int]:
        """The inputs of a concatenation and the axis in NHWC order without batch."""
        views = [self._view(node, value) for value in node.input]
        axis = axis % (views[0].index.ndim + 1) - 1
        if axis < 0:
            raise UserError(self.place(node), "concatenates along the batch", "only the other axes are supported")
        if views[0].index.ndim == 3:
            return [self._lying(node, v.name, np.moveaxis(v.index, 0, -1)) for v in views], (axis - 1) % 3
        return [self._lying(node, v.name, v.index) for v in views], axis

    def weights(self, node: onnx.NodeProto, value: str, rank: int, transposed: bool = False) -> QuantizedConstant:
        """Constant weights as symmetric int8 with the output channel first (after transposing, if asked to)."""
        source = self.producer.get(value)
        if source is None or source.op_type != DEQUANTIZE or source.input[0] not in self.initializers:
            raise UserError(self.place(node), "its weights are not quantized constants", "quantize the model first")
        values = self.initializers[source.input[0]].astype(np.int64)
        scales = np.atleast_1d(self.initializers[source.input[1]]).astype(np.float64)
        if len(source.input) > 2:
            points = self.initializers[source.input[2]].astype(np.int64)
            axis = _attribute(source, "axis", 1) % max(values.ndim, 1)
            values = values - (
                points.reshape([-1 if a == axis else 1 for a in range(values.ndim)]) if points.size > 1 else points
            )
        values = values.T if transposed else values
        if values.ndim != rank:
            raise UserError(
                self.place(node), f"its weights have {values.ndim} dimensions", f"only {rank} are supported"
            )
        if values.min(initial=0) < -128 or values.max(initial=0) > 127:
            raise UserError(
                self.place(node), "its weights leave 8 bits after their zero point", "use symmetric weights"
            )
        if not np.isfinite(scales).all():
            raise UserError(self.place(node), "its weights' scale is not a number", "check the model for NaN")
        return QuantizedConstant(values.astype(np.int8), np.broadcast_to(scales, (len(values),)))

    def linear_output(
        self, node: onnx.NodeProto, x: Tensor, weights: np.ndarray, scales: np.ndarray, bias_input: Any
    ) -> tuple[np.ndarray, Requantization]:
        """Bias (int32) and requantization of a layer acc = bias + sum x * weights, certified against overflow."""
        output, where = self.output(node), self.place(node)
        acc_scales = x.scale * scales
        bias = self._bias(node, bias_input[0], acc_scales) if len(bias_input) else np.zeros(len(weights), np.int64)
        real = acc_scales / output.scale

        def saturates(channel: int, low: int, high: int) -> bool:
            ends = np.floor(np.array([low, high]) * real[channel] + 0.5) + output.zero_point
            clamped = np.clip(ends, *output.bounds)
            return bool(clamped[0] == clamped[1])

        certified = certified_bias(weights, bias, x.zero_point, saturates, where)
        bound = accumulator_bound(weights, certified.astype(np.int64), x.zero_point)
        return certified, channel_requantization(real, bound, output.zero_point, output.bounds, where)

    def output(self, node: onnx.NodeProto) -> OutputQuantization:
        """Follow the node's output through activations that can be fused to its QuantizeLinear."""
        value, low, high = node.output[0], -math.inf, math.inf
        while True:
            users = self.consumers.get(value, [])
            quantizer = next((user for user in users if user.op_type == QUANTIZE), None)
            if quantizer is not None:
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
        scale, zero_point = self._scalar_quantization(quantizer)
        return OutputQuantization(value, scale, zero_point, quantized_bounds(scale, zero_point, low, high))

    def same_quantization(self, node: onnx.NodeProto, x: Tensor) -> None:
        """Refuse a node that must keep its input's quantization and is asked for another."""
        output = self.output(node)
        if (output.scale, output.zero_point, *output.bounds) != (x.scale, x.zero_point, -128, 127):
            raise UserError(
                self.place(node),
                "its output is quantized differently from its input",
                "give both one scale and zero point",
            )

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

    def add(self, node: onnx.NodeProto, operator: Operator, inputs: list[str], elementwise: bool = False) -> None:
        """Append a node.  Its ONNX value is laid out like its input's if ``elementwise``, else NCHW for images."""
        output = self.output(node)
        shape = operator.infer(*(self.tensors[name].shape for name in inputs))
        tensor = Tensor(name=output.name, shape=shape, scale=output.scale, zero_point=output.zero_point)
        self._append(node.name or output.name, operator, inputs, tensor)
        positions = np.arange(tensor.size).reshape(shape)
        index = (
            self.views[node.input[0]].index
            if elementwise
            else np.moveaxis(positions, -1, 0)
            if len(shape) == 3
            else positions
        )
        self.views[output.name] = View(tensor.name, index)

    def relabel(self, node: onnx.NodeProto) -> None:
        """A node that only rearranges the view of its input."""
        view = self._view(node, node.input[0])
        index = view.index
        if node.op_type == "Transpose":
            order = list(self.attributes(node, "perm").get("perm", range(index.ndim, -1, -1)))
            if order[0] != 0:
                raise UserError(self.place(node), f"moves the batch axis (perm={order})", "keep axis 0 in front")
            index = index.transpose([axis - 1 for axis in order[1:]])
        else:
            index = index.reshape(self.shapes[node.output[0]])
        self.views[node.output[0]] = View(view.name, index)

    # Helpers.

    def _append(self, name: str, operator: Operator, inputs: list[str], tensor: Tensor) -> None:
        self.tensors[tensor.name] = tensor
        self.nodes.append(Node(name=name, inputs=tuple(inputs), output=tensor.name, operator=operator))

    def _view(self, node: onnx.NodeProto, value: str) -> View:
        if value not in self.views:
            raise UserError(
                self.place(node), f"its input '{value}' is not a quantized activation", "quantize the model first"
            )
        return self.views[value]

    def _lying(self, node: onnx.NodeProto, name: str, index: np.ndarray) -> Tensor:
        """The tensor seen as ``index`` must lie in memory; adds a reshape where only the shape differs."""
        if not _is_identity(index):
            raise UserError(
                self.place(node),
                "reads its input through a transposition that moves data",
                "remove the Transpose or Reshape before it",
            )
        return self.tensors[self._shaped(self.tensors[name], index.shape)]

    def _shaped(self, tensor: Tensor, shape: Shape) -> str:
        """The name of ``tensor`` with another shape: itself, or the output of a reshape node."""
        if tensor.shape == shape:
            return tensor.name
        name = f"{tensor.name}/{'x'.join(map(str, shape))}"
        if name not in self.tensors:
            seen = msgspec.structs.replace(tensor, name=name, shape=shape)
            self._append(name, Reshape(shape=shape), [tensor.name], seen)
        return name

    def _scalar_quantization(self, node: onnx.NodeProto) -> tuple[float, int]:
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

    def _bias(self, node: onnx.NodeProto, value: str, scales: np.ndarray) -> np.ndarray:
        """The bias in units of ``scales``: stored integers as they are, real numbers rounded half to even."""
        source = self.producer.get(value)
        if source is not None and source.op_type == DEQUANTIZE and source.input[0] in self.initializers:
            stored = np.float64(self.initializers[source.input[1]])
            if np.allclose(stored, scales, rtol=1e-5, atol=0):
                return self.initializers[source.input[0]].astype(np.int64)
        real = self._real_constant(value)
        if real is None or not np.isfinite(real).all():
            raise UserError(self.place(node), "its bias is not a constant of finite numbers", "check the model for NaN")
        return np.rint(real.astype(np.float64) / scales).astype(np.int64)

    def _real_constant(self, value: str) -> np.ndarray | None:
        """A constant as real numbers, dequantized if it is stored as integers."""
        if value in self.initializers:
            return self.initializers[value]
        source = self.producer.get(value)
        if source is None or source.op_type != DEQUANTIZE or source.input[0] not in self.initializers:
            return None
        point = self.initializers[source.input[2]] if len(source.input) > 2 else 0
        return (self.initializers[source.input[0]].astype(np.float64) - point) * self.initializers[source.input[1]]


def _with_batch_of_one(model: onnx.ModelProto) -> onnx.ModelProto:
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
    return onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True)


def _dims(value: onnx.ValueInfoProto) -> Shape:
    return tuple(d.dim_value for d in value.type.tensor_type.shape.dim)


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _is_identity(index: np.ndarray) -> bool:
    return bool(np.array_equal(index.reshape(-1), np.arange(index.size)))


def _batched(shape: Shape) -> str:
    return "(N, " + ", ".join(map(str, shape)) + ")"


def _shown(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
