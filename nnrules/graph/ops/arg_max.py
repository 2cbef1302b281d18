"""The position of the largest or smallest value along an axis: the class, where a network ends in it."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.views import memory_order, positions

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class ArgMax(Operator, frozen=True, kw_only=True):
    """y = the position of the largest x (``smallest``: the smallest) along ``axis``; of equal ones the first, or last.

    ``axis`` of the NHWC shape without batch, which y is without; y is int32.
    """

    op: ClassVar[str] = "arg_max"
    onnx_types: ClassVar[tuple[str, ...]] = ("ArgMax", "ArgMin", "Cast")

    axis: int
    smallest: bool = False
    last: bool = False

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        view = lowering.view(node, node.input[0])
        if node.op_type == "Cast":
            if lowering.tensors[view.name].dtype == "int8":
                raise UserError(lowering.place(node), "casts an activation", "leave it out, or cast positions only")
            lowering.relabel(node)
            return
        attributes = lowering.attributes(node, "axis", "keepdims", "select_last_index")
        axis = int(attributes.get("axis", 0)) % (view.index.ndim + 1) - 1
        if axis < 0:
            raise UserError(lowering.place(node), "works along the batch", "only the other axes are supported")
        order = memory_order(view.index)
        x = lowering.laid(node, node.input[0], order)
        operator = cls(
            axis=order.index(axis),
            smallest=node.op_type == "ArgMin",
            last=bool(attributes.get("select_last_index", 0)),
        )
        rest = [each for each in order if each != axis]
        lowering.add_positions(
            node, operator, x, positions(operator.infer(x.shape)).transpose(np.argsort(np.argsort(rest)))
        )

    @property
    def output_type(self) -> str:
        return "int32"

    def infer(self, *shapes: Shape) -> Shape:
        return (*shapes[0][: self.axis], *shapes[0][self.axis + 1 :])

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        x = inputs[0].astype(np.int64) * (-1 if self.smallest else 1)
        if not self.last:
            return x.argmax(self.axis + 1).astype(np.int32)
        return (x.shape[self.axis + 1] - 1 - np.flip(x, self.axis + 1).argmax(self.axis + 1)).astype(np.int32)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        x, length = inputs[0], inputs[0].shape[self.axis + 1]
        best = (
            torch.amin(x, self.axis + 1, keepdim=True) if self.smallest else torch.amax(x, self.axis + 1, keepdim=True)
        )
        shape = [length if axis == self.axis + 1 else 1 for axis in range(x.ndim)]
        places = torch.arange(length, dtype=torch.float64).reshape(shape)
        unlike = torch.where(x == best, places, -1.0 if self.last else float(length))
        return torch.amax(unlike, self.axis + 1) if self.last else torch.amin(unlike, self.axis + 1)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        source = emitter.channels_last(inputs[0])
        kind, last = ("ArgMin" if self.smallest else "ArgMax"), int(self.last)
        found = emitter.node(kind, [source], axis=self.axis + 1, keepdims=0, select_last_index=last)
        emitter.channels_first(emitter.cast(found, "INT32"), output)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        shape = shapes[0]
        return {
            "outer": math.prod(shape[: self.axis]),
            "length": shape[self.axis],
            "inner": math.prod(shape[self.axis + 1 :]),
            "smallest": int(self.smallest),
            "last": int(self.last),
        }
