"""Element-wise product of two tensors, one of which may be repeated along some axes (a gate of 1 x 1 x channels).

Products and quotients with a constant are lowered here too, to other operators.
"""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.affine import lower_affine
from nnrules.graph.broadcast import broadcast_parameters
from nnrules.graph.operator import Operator, Parameter, RowWindow, Shape
from nnrules.graph.ops.lookup import lower_unary
from nnrules.graph.requant import Requantization, channel_requantization

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

LARGEST_PRODUCT = 255 * 255


class Mul(Operator, frozen=True, kw_only=True):
    """acc = (x1 - x1_zero_point) * (x2 - x2_zero_point); y = requantize(acc) by one multiplier.

    The inputs have one rank; an axis of length 1 is repeated along the other's.
    """

    op: ClassVar[str] = "mul"
    onnx_types: ClassVar[tuple[str, ...]] = ("Mul", "Div")

    x_zero_points: tuple[int, int]
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        lowering.attributes(node)
        value, constant, position = lowering.with_constant(node)
        if node.op_type == "Div":
            cls._lower_quotient(lowering, node, value, constant, position)
            return
        if constant is not None:
            lower_affine(lowering, node, value, constant, np.zeros(1))
            return
        (x1, x2), view = lowering.pair(node)
        output = lowering.output(node)
        requantization = channel_requantization(
            np.array([x1.scale * x2.scale / output.scale]),
            np.array([LARGEST_PRODUCT]),
            output.zero_point,
            output.bounds,
            lowering.place(node),
        )
        operator = cls(x_zero_points=(x1.zero_point, x2.zero_point), requantization=requantization)
        lowering.add(node, operator, [x1.name, x2.name], view=view)

    @staticmethod
    def _lower_quotient(
        lowering: "Lowering", node: "onnx.NodeProto", value: str, constant: np.ndarray | None, position: int
    ) -> None:
        if constant is None or (position == 0 and constant.size > 1):
            cure = "only a constant divisor, or one constant number over an activation, is supported"
            raise UserError(lowering.place(node), "divides by an activation", cure)
        if position == 0:
            lower_unary(lowering, node, value, lambda x: constant.item() / x)
            return
        if not constant.all():
            raise UserError(lowering.place(node), "its constant holds a zero", "check the model for NaN and zeros")
        lower_affine(lowering, node, value, 1.0 / constant, np.zeros(1))

    def infer(self, *shapes: Shape) -> Shape:
        return np.broadcast_shapes(*shapes)

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        first, second = (x.astype(np.int64) - zp for x, zp in zip(inputs, self.x_zero_points, strict=True))
        return self.requantization.apply(first * second)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        first, second = (x - float(zp) for x, zp in zip(inputs, self.x_zero_points, strict=True))
        return self.requantization.simulate(torch, torch.mul(first, second))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        centred = [
            emitter.node(
                "Sub", [emitter.cast(x, "INT32"), emitter.constant(output, f"x{index}_zero_point", np.int32(point))]
            )
            for index, (x, point) in enumerate(zip(inputs, self.x_zero_points, strict=True), 1)
        ]
        emitter.requantize(emitter.node("Mul", centred), self.requantization, output, channel_axis=(-1,))

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        return RowWindow() if len(shapes[0]) == 3 and len(set(shapes)) == 1 else None

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            **broadcast_parameters(shapes[0], shapes[1]),
            "x1_zero_point": self.x_zero_points[0],
            "x2_zero_point": self.x_zero_points[1],
            "multiplier": int(self.requantization.multiplier[0]),
            "shift": int(self.requantization.shift[0]),
            **self.requantization.parameters(),
        }
