"""Mean, sum, largest or smallest value along some axes."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Geometry, Operator, Parameter, Shape
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.requant import Requantization, channel_requantization
from nnrules.graph.views import memory_order, positions

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.ir import Tensor
    from nnrules.graph.lowering import Lowering
    from nnrules.graph.views import Index

KINDS = {"ReduceMean": "sum", "ReduceSum": "sum", "ReduceMax": "max", "ReduceMin": "min"}


class Reduce(Operator, frozen=True, kw_only=True):
    """y = requantize(sum of x - x_zero_point), or the max or min of x, along the axes begin .. end - 1.

    Axes are those of the NHWC shape without batch; the output is without them (one value where none is left).  Max and
    min keep the input's quantization and have no requantization.
    """

    op: ClassVar[str] = "reduce"
    onnx_types: ClassVar[tuple[str, ...]] = tuple(KINDS)

    kind: str
    begin: int
    end: int
    x_zero_point: int = 0
    requantization: Requantization | None = None

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(node, "axes", "keepdims", noop_with_empty_axes=0)
        view = lowering.view(node, node.input[0])
        order, count = _reduced_together(_axes(lowering, node, attributes, view.index.ndim), memory_order(view.index))
        x = lowering.laid(node, node.input[0], order)
        begin, end = count
        kind = KINDS[node.op_type]
        rest = [axis for place, axis in enumerate(order) if not begin <= place < end]
        shape = [x.shape[order.index(axis)] for axis in rest] or [1]
        seen = positions(tuple(shape)).transpose(np.argsort(np.argsort(rest)) if rest else (0,))
        if kind != "sum":
            lowering.add_keeping(node, cls(kind=kind, begin=begin, end=end), x, seen)
            return
        output = lowering.output(node)
        if node.op_type == "ReduceMean" and len(x.shape) == 3 and (begin, end) == (0, 2):
            cls._lower_image_mean(lowering, node, x, seen)
            return
        length = math.prod(x.shape[begin:end])
        rule = channel_requantization(
            np.array([x.scale / output.scale / (length if node.op_type == "ReduceMean" else 1)]),
            np.array([255 * length]),
            output.zero_point,
            output.bounds,
            lowering.place(node),
        )
        operator = cls(kind=kind, begin=begin, end=end, x_zero_point=x.zero_point, requantization=rule)
        lowering.add(node, operator, [x.name], view=seen)

    @staticmethod
    def _lower_image_mean(lowering: "Lowering", node: "onnx.NodeProto", x: "Tensor", seen: "Index") -> None:
        """The mean of each channel, as the average over one window: that has kernels of its own."""
        output, window = lowering.output(node), Geometry(kernel=(x.shape[0], x.shape[1]))
        ends = (output.zero_point, *output.bounds)
        rule = AveragePool2d.multipliers(window, False, x.scale / output.scale, ends, lowering.place(node))
        operator = AveragePool2d(geometry=window, x_zero_point=x.zero_point, requantization=rule)
        lowering.add(node, operator, [x.name], view=seen)

    def infer(self, *shapes: Shape) -> Shape:
        return (*shapes[0][: self.begin], *shapes[0][self.end :]) or (1,)

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        axes = tuple(range(self.begin + 1, self.end + 1))
        if self.requantization is None:
            y = inputs[0].max(axes) if self.kind == "max" else inputs[0].min(axes)
        else:
            y = self.requantization.apply((inputs[0].astype(np.int64) - self.x_zero_point).sum(axes))
        return y.reshape(len(y), *(y.shape[1:] or (1,)))

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        axes = list(range(self.begin + 1, self.end + 1))
        if self.requantization is None:
            y = torch.amax(inputs[0], axes) if self.kind == "max" else torch.amin(inputs[0], axes)
        else:
            y = self.requantization.simulate(torch, (inputs[0] - self.x_zero_point).sum(axes))
        return y if y.ndim > 1 else y.unsqueeze(1)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        axes = emitter.constant(output, "axes", np.arange(self.begin + 1, self.end + 1))
        shape = emitter.constant(output, "shape", np.array([0, *emitter.shape(output)], np.int64))
        source = emitter.cast(emitter.channels_last(inputs[0]), "INT32")
        if self.requantization is None:
            name = "ReduceMax" if self.kind == "max" else "ReduceMin"
            chosen = emitter.cast(emitter.node(name, [source, axes]), "INT8")
            emitter.channels_first(emitter.node("Reshape", [chosen, shape]), output)
            return
        point = emitter.constant(output, "x_zero_point", np.int32(self.x_zero_point))
        total = emitter.node("ReduceSum", [emitter.node("Sub", [source, point]), axes])
        flat = emitter.requantize(total, self.requantization, f"{output}.kept", channel_axis=(-1,))
        emitter.channels_first(emitter.node("Reshape", [flat, shape]), output)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        rule = self.requantization
        shape = shapes[0]
        return {
            "kind": ("sum", "max", "min").index(self.kind),
            "outer": math.prod(shape[: self.begin]),
            "length": math.prod(shape[self.begin : self.end]),
            "inner": math.prod(shape[self.end :]),
            "x_zero_point": self.x_zero_point,
            "multiplier": int(rule.multiplier[0]) if rule else 0,
            "shift": int(rule.shift[0]) if rule else 0,
            **(rule.parameters() if rule else {"y_zero_point": 0, "lo": -128, "hi": 127, "has_shift": 0}),
        }


def _axes(lowering: "Lowering", node: "onnx.NodeProto", attributes: dict[str, Any], rank: int) -> list[int]:
    """The reduced axes of the ONNX shape without batch, sorted."""
    given = lowering.constant(node, 1) if len(node.input) > 1 else None
    listed = given.reshape(-1).tolist() if given is not None else attributes.get("axes", range(rank + 1))
    axes = sorted({int(axis) % (rank + 1) - 1 for axis in listed})
    if not axes or axes[0] < 0:
        raise UserError(lowering.place(node), "works along the batch", "name the other axes in 'axes'")
    return axes


def _reduced_together(axes: list[int], order: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, int]]:
    """An order of the ONNX axes in memory in which the reduced ones are neighbours, and where they begin and end."""
    places = sorted(order.index(axis) for axis in axes)
    if places[-1] - places[0] >= len(places):
        order = (*(axis for axis in order if axis not in axes), *axes)
        places = list(range(len(order) - len(axes), len(order)))
    return order, (places[0], places[-1] + 1)
