"""Matrix product of two activations (attention); with constant weights it is a fully connected layer."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.requant import Requantization, channel_requantization

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class MatMul(Operator, frozen=True, kw_only=True):
    """acc[.., i, j] = sum over k of (a[.., i, k] - a_zero_point) * (b[.., k, j] - b_zero_point); y = requantize(acc).

    Both have the same leading axes; one multiplier.
    """

    op: ClassVar[str] = "mat_mul"
    onnx_types: ClassVar[tuple[str, ...]] = ("MatMul",)

    x_zero_points: tuple[int, int]
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        if node.input[1] not in lowering.views:
            FullyConnected.lower(lowering, node)
            return
        shapes = [lowering.view(node, value).index.shape for value in node.input]
        if min(map(len, shapes)) < 2:
            raise UserError(lowering.place(node), "multiplies two vectors", "only matrices are supported")
        leading = np.broadcast_shapes(*(shape[:-2] for shape in shapes))
        a, b = (
            lowering.repeated(node, value, (*leading, *shape[-2:]))
            for value, shape in zip(node.input, shapes, strict=True)
        )
        output = lowering.output(node)
        rule = channel_requantization(
            np.array([a.scale * b.scale / output.scale]),
            np.array([255 * 255 * a.shape[-1]]),
            output.zero_point,
            output.bounds,
            lowering.place(node),
        )
        operator = cls(x_zero_points=(a.zero_point, b.zero_point), requantization=rule)
        shape = operator.infer(a.shape, b.shape)
        lowering.add(node, operator, [a.name, b.name], view=np.arange(math.prod(shape)).reshape(shape))

    def infer(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], shapes[1][-1])

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        a, b = (x.astype(np.int64) - zp for x, zp in zip(inputs, self.x_zero_points, strict=True))
        return self.requantization.apply(a @ b)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        a, b = (x - float(zp) for x, zp in zip(inputs, self.x_zero_points, strict=True))
        return self.requantization.simulate(torch, torch.matmul(a, b))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        points = [
            emitter.constant(output, f"{role}_zero_point", np.int8(point))
            for role, point in zip("ab", self.x_zero_points, strict=True)
        ]
        acc = emitter.node("MatMulInteger", [*map(emitter.channels_last, inputs), *points])
        rows = emitter.requantize(acc, self.requantization, f"{output}.rows", channel_axis=(-1,))
        emitter.channels_first(rows, output)

    def macs(self, *shapes: Shape) -> int:
        return math.prod(shapes[0]) * shapes[1][-1]

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            "count": math.prod(shapes[0][:-2]),
            "rows": shapes[0][-2],
            "in_c": shapes[0][-1],
            "out_c": shapes[1][-1],
            "a_zero_point": self.x_zero_points[0],
            "b_zero_point": self.x_zero_points[1],
            "multiplier": int(self.requantization.multiplier[0]),
            "shift": int(self.requantization.shift[0]),
            **self.requantization.parameters(),
        }
