"""QDQ ONNX -> the integer graph.

A quantized model says with QuantizeLinear / DequantizeLinear pairs which integers stand for each tensor.  Lowering
walks it once, in order; each operator's ``lower`` asks this class for its inputs and its output's quantization and
adds a node.

Layout is bookkeeping, not work: each ONNX value is a *view*, an array with the value's ONNX shape holding positions
in an NHWC tensor of the graph.  Transpose, Flatten, Reshape, Slice and their like only rearrange views; values are
copied into another order where a consumer cannot use its view as it lies.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.moves import rearranged
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops import BY_ONNX_TYPE
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.pad import Pad
from nnrules.graph.ops.rearrange import Rearrange
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.qdq_reader import DEQUANTIZE, QUANTIZE, QdqReader
from nnrules.graph.requant import (
    Requantization,
    accumulator_bound,
    certified_bias,
    channel_requantization,
)
from nnrules.graph.views import Index, View, covers, lies, memory_order, positions

SIGNAL_READERS = (
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "BatchNormalization",
    "PRelu",
)  # fmt: skip
"""What reads an input of two dimensions as (channels, length)."""

BATCH_MOVERS = ("Transpose", "Identity", "Squeeze", "Unsqueeze", *Rearrange.onnx_types)
"""What may read a value whose batch is not in front."""

LAYOUT_FREE = ("Identity", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "Tanh", "Max", "Min")
"""What says nothing of the order of an input's axes: its reader does."""


def lower(model: onnx.ModelProto, name: str) -> Graph:
    """The integer graph of a QDQ model; UserErrors name the node and what is supported."""
    return Lowering(model, name).graph()


class Lowering(QdqReader):
    """The state of one lowering: what the model says, and the graph so far."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        super().__init__(model, name)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.views: dict[str, View] = {}
        self._moved: dict[tuple[str, Shape, bytes], str] = {}

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
        outputs: dict[str, str] = {}
        for value in body.output:
            outputs[self._own(value, outputs)] = value.name
        passed = [value for tensor, value in outputs.items() if self._root(tensor) in inputs]
        if passed:
            raise UserError(f"{self.name}: output '{passed[0]}'", "is the model's input", "leave it out")
        return self._named(tuple(inputs), outputs)

    def _named(self, inputs: tuple[str, ...], outputs: dict[str, str]) -> Graph:
        """The finished graph, its outputs under the names they have in the ONNX file."""

        def name(tensor: str) -> str:
            if tensor in inputs:
                return tensor
            inner = f"{tensor}/inner" if tensor in outputs.values() else tensor
            return outputs.get(tensor, inner)

        needed = _needed(self.nodes, outputs)
        nodes = [
            msgspec.structs.replace(n, inputs=tuple(name(i) for i in n.inputs), output=name(n.output)) for n in needed
        ]
        kept = {*inputs, *(node.output for node in needed)}
        tensors = {
            name(t.name): msgspec.structs.replace(t, name=name(t.name)) for t in self.tensors.values() if t.name in kept
        }
        return Graph(
            name=self.name, inputs=inputs, outputs=tuple(map(name, outputs)), tensors=tensors, nodes=tuple(nodes)
        )

    def _operator(self, node: onnx.NodeProto) -> None:
        handler = BY_ONNX_TYPE.get(node.op_type)
        if handler is None:
            fault = f"operator {node.op_type} is not supported"
            raise UserError(self.place(node), fault, "docs/import.md lists what is supported")
        handler.lower(self, node)

    def _input(self, value: onnx.ValueInfoProto) -> str:
        """A model input: its NHWC tensor, from the QuantizeLinear that reads it or from its own integer type."""
        users = self.consumers.get(value.name, [])
        edge = next((n for n in users if n.op_type in (QUANTIZE, DEQUANTIZE)), None)
        if edge is None:
            raise UserError(f"{self.name}: input '{value.name}'", "is not quantized", "quantize the model first")
        scale, zero_point = self.scalar_quantization(edge)
        shape = self.shapes[value.name]
        channels_first = len(shape) in (2, 3) and self._feeds_image_first(value.name, len(shape))
        stored = (*shape[1:], shape[0]) if channels_first else shape
        layout = "nchw" if channels_first else "nhwc"
        self.tensors[value.name] = Tensor(
            name=value.name, shape=stored, scale=scale, zero_point=zero_point, layout=layout
        )
        index = np.arange(math.prod(shape)).reshape(stored)
        self.views[value.name] = View(value.name, np.moveaxis(index, -1, 0) if channels_first else index)
        return value.name

    def _feeds_image_first(self, name: str, rank: int) -> bool:
        """Whether the first operator that has an order of axes reads an input of 2 or 3 dimensions channels first."""
        for node in self.consumers.get(name, []):
            if node.op_type in (QUANTIZE, DEQUANTIZE, *LAYOUT_FREE):
                return self._feeds_image_first(node.output[0], rank)
            if rank == 2:
                return node.op_type in SIGNAL_READERS
            return node.op_type not in ("Transpose", "Reshape", "Flatten", "Gemm", "MatMul")
        return False

    def _quantize(self, node: onnx.NodeProto) -> None:
        """A view that is quantized once more: the same integers, or a change of scale by a table."""
        view = self.views.get(node.input[0])
        if view is None:
            raise UserError(self.place(node), "quantizes a constant", "store the constant as integers")
        scale, zero_point = self.scalar_quantization(node)
        tensor = self.tensors[view.name]
        if (scale, zero_point) != (tensor.scale, tensor.zero_point):
            table = Lookup.of(lambda x: x, (tensor.scale, tensor.zero_point), (scale, zero_point))
            rescaled = msgspec.structs.replace(tensor, name=node.output[0], scale=scale, zero_point=zero_point)
            self.append(node.output[0], table, [tensor.name], rescaled)
            view = msgspec.structs.replace(view, name=rescaled.name)
        self.views[node.output[0]] = view

    def _own(self, value: onnx.ValueInfoProto, taken: Mapping[str, str]) -> str:
        """The tensor of an output; a copy where it is another output's already, whose layout may differ."""
        before = dict(self.tensors)
        name = self._output_tensor(value)
        if name not in taken:
            return name
        tensor, self.tensors[name] = self.tensors[name], before[name]
        if tensor.dtype != "int8":
            raise UserError(self.name, f"its outputs '{taken[name]}' and '{value.name}' are one", "drop one of them")
        copy = msgspec.structs.replace(tensor, name=f"{name}/{value.name}")
        edge = (tensor.scale, tensor.zero_point)
        self.append(copy.name, Lookup.of(lambda x: x, edge, edge), [name], copy)
        return copy.name

    def _output_tensor(self, value: onnx.ValueInfoProto) -> str:
        view = self.views.get(value.name)
        if view is None:
            raise UserError(
                f"{self.name}: output '{value.name}'", "is not quantized", "quantize the model's outputs too"
            )
        if view.batch:
            fault = f"has its batch as axis {view.batch}"
            raise UserError(f"{self.name}: output '{value.name}'", fault, "bring it to the front")
        channels_last = np.moveaxis(view.index, 0, -1) if view.index.ndim > 1 else view.index
        first = memory_order(view.index) != tuple(range(view.index.ndim))
        layout = "nchw" if first else "nhwc"
        name = self._in_memory(view.name, channels_last if first else view.index)
        self.tensors[name] = msgspec.structs.replace(self.tensors[name], layout=layout)
        return name

    # What the operators ask for.

    def image(self, node: onnx.NodeProto, value: str) -> Tensor:
        """An input that must be an image or a signal (an image of height 1), as its NHWC tensor."""
        rank = self.view(node, value).index.ndim
        if rank not in (2, 3):
            raise UserError(
                self.place(node),
                f"its input has shape {_batched(self.view(node, value).index.shape)}",
                "only signals (N, C, L) and images (N, C, H, W) are supported",
            )
        tensor = self.laid(node, value, (*range(1, rank), 0))
        return tensor if rank == 3 else self.tensors[self._shaped(tensor, (1, *tensor.shape))]

    def without_border(self, x: Tensor, value: int, geometry: Geometry) -> tuple[Tensor, Geometry]:
        """An image before a Pad put a border of ``value`` around it, and the window with that border as its padding;
        both as they are where there is none, or one wider than the window.
        """
        made = next((node for node in self.nodes if node.output == x.name), None)
        if made is None or not isinstance(made.operator, Pad) or made.operator.value != value:
            return x, geometry
        border = (*made.operator.before, *made.operator.after)
        if len(border) != 6 or border[2] or border[5]:
            return x, geometry
        padding = [a + b for a, b in zip(geometry.padding, (*border[:2], *border[3:5]), strict=True)]
        if any(amount >= kernel for amount, kernel in zip(padding, geometry.kernel * 2, strict=True)):
            return x, geometry
        wider = msgspec.structs.replace(geometry, padding=(padding[0], padding[1], padding[2], padding[3]))
        return self.tensors[made.inputs[0]], wider

    def rows(self, node: onnx.NodeProto, value: str) -> tuple[Tensor, np.ndarray]:
        """An input whose last axis is multiplied: its tensor and, for each ONNX feature, the feature's place in the
        tensor.
        """
        view = self.view(node, value)
        tensor = self.tensors[view.name]
        if view.index.ndim == 1 and np.array_equal(np.sort(view.index), np.arange(tensor.size)):
            return self.tensors[self._shaped(tensor, (view.index.size,))], view.index
        return self.laid(node, value), np.arange(view.index.shape[-1])

    def last_axis(self, node: onnx.NodeProto, value: str, axis: int) -> Tensor:
        """An input worked on along one axis, which becomes the last in memory (channels of an image)."""
        rank = self.view(node, value).index.ndim
        axis = axis % (rank + 1) - 1
        return self.laid(node, value, (*(each for each in range(rank) if each != axis), axis))

    def laid(self, node: onnx.NodeProto, value: str, order: Sequence[int] | None = None) -> Tensor:
        """An input as a tensor whose memory has the ONNX axes (without batch) in ``order``, the values copied into it
        unless they lie so already; readers after this one see the copy.
        """
        view = self.view(node, value)
        order = tuple(order or range(view.index.ndim))
        index = view.index.transpose(order)
        name = self._in_memory(view.name, index)
        if not lies(index):
            self.views[value] = View(name, positions(index.shape).transpose(np.argsort(order)))
        return self.tensors[name]

    def whole(self, node: onnx.NodeProto, value: str) -> tuple[Tensor, Index]:
        """An input of an element-wise operator, any view of all its values, which the output takes over."""
        view = self.view(node, value)
        if not covers(view.index, self.tensors[view.name].size):
            self.laid(node, value, memory_order(view.index))
            view = self.view(node, value)
        return self.tensors[view.name], view.index

    def with_constant(self, node: onnx.NodeProto) -> tuple[str, np.ndarray | None, int]:
        """Of a node with two inputs: the activation, the constant that meets it as real numbers, and its position.

        The constant has the activation's rank without batch.  Where both are activations, it is None.
        """
        for position in (1, 0):
            if self._real_constant(node.input[position]) is not None:
                value = node.input[1 - position]
                return value, self.aligned_constant(node, position, value), position
        return node.input[0], None, -1

    def aligned_constant(self, node: onnx.NodeProto, position: int, value: str = "") -> np.ndarray:
        """A constant input as float64 in the rank, without batch, of the activation ``value`` (the first input)."""
        constant = self.real_constant(node, position)
        missing = self.view(node, value or node.input[0]).index.ndim + 1 - constant.ndim
        real = constant.reshape((1,) * missing + constant.shape)
        if missing < 0 or len(real) != 1:
            fault = f"its constant has shape {constant.shape}"
            raise UserError(self.place(node), fault, "only constants without a batch axis are supported")
        return real[0]

    def spread(self, node: onnx.NodeProto, value: str, shape: Shape) -> tuple[Tensor, tuple[int, ...]]:
        """An input repeated to broadcast with ``shape``, as a tensor, and the order of its ONNX axes in memory."""
        view = self.view(node, value)
        index = np.broadcast_to(view.index, np.broadcast_shapes(view.index.shape, shape))
        order = memory_order(index)
        return self.tensors[self._in_memory(view.name, index.transpose(order))], order

    def repeated(self, node: onnx.NodeProto, value: str, shape: Shape) -> Tensor:
        """An input repeated to ``shape`` (ONNX's, without batch), in that order in memory."""
        view = self.view(node, value)
        return self.tensors[self._in_memory(view.name, np.broadcast_to(view.index, shape))]

    def pair(self, node: onnx.NodeProto) -> tuple[list[Tensor], Index]:
        """Two inputs of an element-wise operator, their axes in one order in memory, and the output's view."""
        views = [self.view(node, value) for value in node.input]
        if np.array_equal(views[0].index, views[1].index):
            first, index = self.whole(node, node.input[0])
            second, _ = self.whole(node, node.input[1])
            return [first, self.reshaped(second, first.shape)], index
        rank = max(view.index.ndim for view in views)
        indices = [view.index.reshape((1,) * (rank - view.index.ndim) + view.index.shape) for view in views]
        order = memory_order(max(indices, key=lambda index: index.size))
        names = [self._in_memory(v.name, i.transpose(order)) for v, i in zip(views, indices, strict=True)]
        tensors = [self.tensors[name] for name in names]
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        return tensors, positions(shape).transpose(np.argsort(order))

    def alike(self, node: onnx.NodeProto) -> tuple[list[Tensor], Index]:
        """The same for inputs that must have one shape."""
        tensors, view = self.pair(node)
        if tensors[0].shape != tensors[1].shape:
            shapes = " and ".join(_batched(self.view(node, value).index.shape) for value in node.input)
            fault = f"its inputs differ in shape: {shapes}"
            raise UserError(self.place(node), fault, "only inputs of one shape are supported")
        return tensors, view

    def reshaped(self, tensor: Tensor, shape: Shape) -> Tensor:
        """The same memory under another shape."""
        return self.tensors[self._shaped(tensor, shape)]

    def joined(self, node: onnx.NodeProto, axis: int) -> tuple[list[Tensor], int]:
        """The inputs of a concatenation and the axis in NHWC order without batch."""
        views = [self.view(node, value) for value in node.input]
        axis = axis % (views[0].index.ndim + 1) - 1
        if axis < 0:
            raise UserError(self.place(node), "concatenates along the batch", "only the other axes are supported")
        if views[0].index.ndim == 3:
            return [self.laid(node, value, (1, 2, 0)) for value in node.input], (axis - 1) % 3
        return [self.laid(node, value) for value in node.input], axis

    def require_channels(self, node: onnx.NodeProto, given: int, expected: int) -> None:
        """Refuse a layer whose weights are for another number of input channels."""
        if given != expected:
            fault = f"its input has {given} channels, its weights are for {expected}"
            raise UserError(self.place(node), fault, "export the model again")

    def linear_output(
        self, node: onnx.NodeProto, x: Tensor, weights: np.ndarray, scales: np.ndarray, bias_input: Any
    ) -> tuple[np.ndarray, Requantization]:
        """Bias (int32) and requantization of a layer acc = bias + sum x * weights, certified against overflow."""
        acc_scales = x.scale * scales
        bias = self.bias(node, bias_input[0], acc_scales) if len(bias_input) else np.zeros(len(weights), np.int64)
        return self.certified(node, x, weights, acc_scales, bias)

    def certified(
        self, node: onnx.NodeProto, x: Tensor, weights: np.ndarray, acc_scales: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, Requantization]:
        """The same from a bias in units of ``acc_scales``, the real value of an accumulator's step per channel."""
        output, where = self.output(node), self.place(node)
        real = acc_scales / output.scale

        def saturates(channel: int, low: int, high: int) -> bool:
            ends = np.floor(np.array([low, high]) * real[channel] + 0.5) + output.zero_point
            return bool((ends >= output.bounds[1]).all() if low > 0 else (ends <= output.bounds[0]).all())

        certified = certified_bias(weights, bias, x.zero_point, saturates, where)
        bound = accumulator_bound(weights, certified.astype(np.int64), x.zero_point)
        return certified, channel_requantization(real, bound, output.zero_point, output.bounds, where)

    def same_quantization(self, node: onnx.NodeProto, x: Tensor) -> None:
        """Refuse a node that must keep its input's quantization and is asked for another."""
        output = self.output(node)
        if (output.scale, output.zero_point, *output.bounds) != (x.scale, x.zero_point, -128, 127):
            raise UserError(
                self.place(node),
                "its output is quantized differently from its input",
                "give both one scale and zero point",
            )

    def add(
        self,
        node: onnx.NodeProto,
        operator: Operator,
        inputs: list[str],
        elementwise: bool = False,
        view: Index | None = None,
    ) -> None:
        """Append a node, its value seen as ``view`` says, or like its input if ``elementwise``; else images NCHW."""
        output = self.output(node)
        shape = operator.infer(*(self.tensors[name].shape for name in inputs))
        tensor = Tensor(name=output.name, shape=shape, scale=output.scale, zero_point=output.zero_point)
        self.append(node.name or output.name, operator, inputs, tensor)
        lying = positions(shape)
        channels_first = np.moveaxis(lying, -1, 0) if len(shape) == 3 else lying
        if view is None:
            view = self.views[node.input[0]].index if elementwise else channels_first
        expected = self.shapes.get(output.name, view.shape)
        if math.prod(expected) != view.size:
            fault = f"gives shape {_batched(view.shape)} where onnx expects {_batched(expected)}"
            raise UserError(self.place(node), fault, "change its padding or ceil_mode, so that no window begins behind")
        self.views[output.name] = View(tensor.name, view.reshape(expected))

    def relabel(self, node: onnx.NodeProto) -> None:
        """A node that only rearranges the view of its input."""
        view = self.view(node, node.input[0])
        index = view.index
        if node.op_type == "Transpose":
            order = list(self.attributes(node, "perm").get("perm", range(index.ndim, -1, -1)))
            batch = order.index(view.batch)
            index = np.asarray(np.expand_dims(index, view.batch).transpose(order).take(0, batch))
            self.views[node.output[0]] = View(view.name, index, batch)
        elif view.batch == 0:
            self.views[node.output[0]] = View(view.name, index.reshape(self.shapes[node.output[0]]))
        else:
            self.rearrange(node)

    def add_keeping(self, node: onnx.NodeProto, operator: Operator, x: Tensor, view: Index | None = None) -> None:
        """Append a node on ``x`` that keeps its quantization, and a change of scale where the model asks for one."""
        output = self.output(node)
        kept, wanted = (x.scale, x.zero_point), (output.scale, output.zero_point)
        if (*kept, -128, 127) == (*wanted, *output.bounds):
            self.add(node, operator, [x.name], view=view)
            return
        name = f"{output.name}/unscaled"
        shape = operator.infer(x.shape)
        self.append(name, operator, [x.name], msgspec.structs.replace(x, name=name, shape=shape, layout="nhwc"))
        self.add(node, Lookup.of(lambda real: real, kept, wanted, output.bounds), [name], view=view)

    def add_positions(self, node: onnx.NodeProto, operator: Operator, x: Tensor, view: Index) -> None:
        """Append a node that gives int32, which the ONNX model does not quantize."""
        name, shape = node.output[0], operator.infer(x.shape)
        tensor = Tensor(name=name, shape=shape, scale=1.0, zero_point=0, dtype=operator.output_type)
        self.append(node.name or name, operator, [x.name], tensor)
        self.views[name] = View(name, view.reshape(self.shapes.get(name, view.shape)))

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
        constant = self._real_constant(node.input[position])
        if constant is None:
            fault, cure = f"its input '{node.input[position]}' is not a constant", "only constant ones are supported"
            raise UserError(self.place(node), fault, cure)
        return constant.astype(np.float64)

    def rearrange(self, node: onnx.NodeProto) -> None:
        """A node that leaves out, repeats or moves values of its first input: views of the same tensor."""
        view = self.view(node, node.input[0])
        for position in range(1, len(node.input)):
            self.constant(node, position)
        for value, found in zip(node.output, rearranged(self.model, node, view, self.initializers), strict=True):
            if found is None:
                raise UserError(self.place(node), "works along the batch", "only the other axes are supported")
            self.views[value] = found

    # Helpers.

    def _root(self, tensor: str) -> str:
        """The tensor that this one is a shape of."""
        sources = {node.output: node.inputs[0] for node in self.nodes if node.operator.is_alias}
        while tensor in sources:
            tensor = sources[tensor]
        return tensor

    def append(self, name: str, operator: Operator, inputs: list[str], tensor: Tensor) -> None:
        """Append a node that makes ``tensor``, one that the ONNX model may know nothing of."""
        self.tensors[tensor.name] = tensor
        self.nodes.append(Node(name=name, inputs=tuple(inputs), output=tensor.name, operator=operator))

    def view(self, node: onnx.NodeProto, value: str) -> View:
        """Where an activation's values lie; raises UserError for anything else."""
        if value not in self.views:
            raise UserError(
                self.place(node), f"its input '{value}' is not a quantized activation", "quantize the model first"
            )
        moves = node.op_type in ("Cast", *Reshape.onnx_types)
        if self.tensors[self.views[value].name].dtype != "int8" and not moves:
            raise UserError(self.place(node), f"reads '{value}', which holds positions", "end the model before it")
        if self.views[value].batch and node.op_type not in BATCH_MOVERS:
            fault = f"reads '{value}', whose batch is axis {self.views[value].batch}"
            raise UserError(self.place(node), fault, "bring it back to the front before")
        return self.views[value]

    def _in_memory(self, name: str, index: Index) -> str:
        """The tensor whose memory holds what ``index`` sees of tensor ``name``: itself, reshaped or copied."""
        tensor = self.tensors[name]
        if lies(index) and index.size == tensor.size:
            return self._shaped(tensor, index.shape)
        if tensor.dtype != "int8":
            raise UserError(f"{self.name}: '{name}'", "holds positions, which are transposed", "leave them as they are")
        key = (name, index.shape, index.tobytes())
        if key not in self._moved:
            copy = f"{name}/moved{len(self._moved)}"
            self._moved[key] = copy
            moved = msgspec.structs.replace(tensor, name=copy, shape=index.shape, layout="nhwc")
            self.append(copy, Rearrange.of(index), [name], moved)
        return self._moved[key]

    def _shaped(self, tensor: Tensor, shape: Shape) -> str:
        """The name of ``tensor`` with another shape: itself, or the output of a reshape node."""
        if tensor.shape == shape:
            return tensor.name
        name = f"{tensor.name}/{'x'.join(map(str, shape))}"
        if name not in self.tensors:
            seen = msgspec.structs.replace(tensor, name=name, shape=shape)
            self.append(name, Reshape(shape=shape), [tensor.name], seen)
        return name


def _needed(nodes: list[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that the outputs depend on."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def _batched(shape: Shape) -> str:
    return "(N, " + ", ".join(map(str, shape)) + ")"
