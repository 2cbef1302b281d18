"""The graph so far, and where in it the values of the ONNX model lie.

Layout is bookkeeping, not work: each ONNX value is a *view*, an array with the value's ONNX shape holding positions
in an NHWC tensor of the graph.  Transpose, Flatten, Reshape, Slice and their like only rearrange views; values are
copied into another order where a consumer cannot use its view as it lies.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.ir import Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.pad import Pad
from nnrules.graph.ops.rearrange import Rearrange
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.qdq_reader import QdqReader
from nnrules.graph.views import Index, View, covers, lies, memory_order, positions

BATCH_MOVERS = ("Transpose", "Identity", "Squeeze", "Unsqueeze", *Rearrange.onnx_types)
"""What may read a value whose batch is not in front."""


def batched(shape: Shape) -> str:
    """How messages show a shape that leaves the batch out.

    >>> batched((3, 4))
    '(N, 3, 4)'
    """
    return "(N, " + ", ".join(map(str, shape)) + ")"


class Layout(QdqReader):
    """What the model says, and the graph so far: what operators ask about their inputs, as tensors in memory."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        super().__init__(model, name)
        self.tensors: dict[str, Tensor] = {}
        self.nodes: list[Node] = []
        self.views: dict[str, View] = {}
        self._moved: dict[tuple[str, Shape, bytes], str] = {}

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

    def append(self, name: str, operator: Operator, inputs: list[str], tensor: Tensor) -> None:
        """Append a node that makes ``tensor``, one that the ONNX model may know nothing of."""
        self.tensors[tensor.name] = tensor
        self.nodes.append(Node(name=name, inputs=tuple(inputs), output=tensor.name, operator=operator))

    # One input.

    def image(self, node: onnx.NodeProto, value: str) -> Tensor:
        """An input that must be an image or a signal (an image of height 1), as its NHWC tensor."""
        rank = self.view(node, value).index.ndim
        if rank not in (2, 3):
            raise UserError(
                self.place(node),
                f"its input has shape {batched(self.view(node, value).index.shape)}",
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
        if axis < 0:
            raise UserError(self.place(node), "works along the batch axis", "only axes from 1 on are supported")
        return self.laid(node, value, (*(each for each in range(rank) if each != axis), axis))

    def laid(self, node: onnx.NodeProto, value: str, order: Sequence[int] | None = None) -> Tensor:
        """An input as a tensor whose memory has the ONNX axes (without batch) in ``order``, the values copied into it
        unless they lie so already; readers after this one see the copy.
        """
        view = self.view(node, value)
        order = tuple(order or range(view.index.ndim))
        index = view.index.transpose(order)
        name = self.in_memory(view.name, index)
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

    def spread(self, node: onnx.NodeProto, value: str, shape: Shape) -> tuple[Tensor, tuple[int, ...]]:
        """An input repeated to broadcast with ``shape``, as a tensor, and the order of its ONNX axes in memory."""
        view = self.view(node, value)
        index = np.broadcast_to(view.index, np.broadcast_shapes(view.index.shape, shape))
        order = memory_order(index)
        return self.tensors[self.in_memory(view.name, index.transpose(order))], order

    def repeated(self, node: onnx.NodeProto, value: str, shape: Shape) -> Tensor:
        """An input repeated to ``shape`` (ONNX's, without batch), in that order in memory."""
        view = self.view(node, value)
        return self.tensors[self.in_memory(view.name, np.broadcast_to(view.index, shape))]

    def reshaped(self, tensor: Tensor, shape: Shape) -> Tensor:
        """The same memory under another shape."""
        return self.tensors[self._shaped(tensor, shape)]

    # Two inputs, or more.

    def with_constant(self, node: onnx.NodeProto) -> tuple[str, np.ndarray | None, int]:
        """Of a node with two inputs: the activation, the constant that meets it as real numbers, and its position.

        The constant has the activation's rank without batch.  Where both are activations, it is None.
        """
        for position in (1, 0):
            if self.stored.real(node.input[position]) is not None:
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

    def pair(self, node: onnx.NodeProto) -> tuple[list[Tensor], Index]:
        """The inputs of an element-wise operator, their axes in one order in memory, and the output's view."""
        views = [self.view(node, value) for value in node.input]
        if all(np.array_equal(views[0].index, other.index) for other in views[1:]):
            found = [self.whole(node, value) for value in node.input]
            return [self.reshaped(each, found[0][0].shape) for each, _ in found], found[0][1]
        rank = max(view.index.ndim for view in views)
        indices = [view.index.reshape((1,) * (rank - view.index.ndim) + view.index.shape) for view in views]
        order = memory_order(max(indices, key=lambda index: index.size))
        names = [self.in_memory(v.name, i.transpose(order)) for v, i in zip(views, indices, strict=True)]
        tensors = [self.tensors[name] for name in names]
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        return tensors, positions(shape).transpose(np.argsort(order))

    def alike(self, node: onnx.NodeProto) -> tuple[list[Tensor], Index]:
        """The same with inputs repeated to the output's shape."""
        tensors, view = self.pair(node)
        shape = np.broadcast_shapes(*(each.shape for each in tensors))
        full = [np.broadcast_to(positions(each.shape), shape) for each in tensors]
        names = [self.in_memory(each.name, index) for each, index in zip(tensors, full, strict=True)]
        return [self.tensors[name] for name in names], view

    def joined(self, node: onnx.NodeProto, axis: int) -> tuple[list[Tensor], int]:
        """The inputs of a concatenation and the axis in NHWC order without batch."""
        views = [self.view(node, value) for value in node.input]
        axis = axis % (views[0].index.ndim + 1) - 1
        if axis < 0:
            raise UserError(self.place(node), "concatenates along the batch", "only the other axes are supported")
        if views[0].index.ndim == 3:
            return [self.laid(node, value, (1, 2, 0)) for value in node.input], (axis - 1) % 3
        return [self.laid(node, value) for value in node.input], axis

    # In memory.

    def in_memory(self, name: str, index: Index) -> str:
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
