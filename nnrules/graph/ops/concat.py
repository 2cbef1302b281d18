"""Concatenation along one axis; every input is requantized to the output's scale."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.operator import Operator, Parameter, RowWindow, Shape
from nnrules.graph.requant import Requantization, choose_multiplier

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class Concat(Operator, frozen=True, kw_only=True):
    """y = the inputs' requantize(x - x_zero_point), one after another along ``axis`` (of the NHWC shape without batch).

    The requantization has one entry per input; equal scales have multiplier 2^30 and shift 2, which is the identity.
    """

    op: ClassVar[str] = "concat"
    onnx_types: ClassVar[tuple[str, ...]] = ("Concat",)

    axis: int
    x_zero_points: tuple[int, ...]
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(node, "axis")
        tensors, axis = lowering.joined(node, int(attributes["axis"]))
        output = lowering.output(node)
        pairs = [choose_multiplier(t.scale / output.scale, 255, lowering.place(node)) for t in tensors]
        multiplier, shift = np.array([p[0] for p in pairs], np.int32), np.array([p[1] for p in pairs], np.uint8)
        operator = cls(
            axis=axis,
            x_zero_points=tuple(t.zero_point for t in tensors),
            requantization=Requantization(multiplier, shift, output.zero_point, *output.bounds),
        )
        lowering.add(node, operator, [t.name for t in tensors])

    def part(self, index: int) -> Requantization:
        """The requantization of one input."""
        full = self.requantization
        one = slice(index, index + 1)
        return Requantization(full.multiplier[one], full.shift[one], full.zero_point, full.lo, full.hi)

    def infer(self, *shapes: Shape) -> Shape:
        total = sum(shape[self.axis] for shape in shapes)
        return (*shapes[0][: self.axis], total, *shapes[0][self.axis + 1 :])

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        centred = [x.astype(np.int64) - zp for x, zp in zip(inputs, self.x_zero_points, strict=True)]
        return np.concatenate([self.part(i).apply(x) for i, x in enumerate(centred)], axis=self.axis + 1)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        centred = [x - zp for x, zp in zip(inputs, self.x_zero_points, strict=True)]
        return torch.cat([self.part(i).simulate(torch, x) for i, x in enumerate(centred)], dim=self.axis + 1)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        parts = []
        for index, (x, zero_point) in enumerate(zip(inputs, self.x_zero_points, strict=True)):
            point = emitter.constant(output, f"zero_point{index}", np.int32(zero_point))
            centred = emitter.node("Sub", [emitter.cast(x, "INT32"), point])
            parts.append(emitter.requantize(centred, self.part(index), f"{output}.part{index}", channel_axis=(-1,)))
        emitter.node("Concat", parts, output, axis=emitter.axis(inputs[0], self.axis))

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        return RowWindow() if len(shapes[0]) == 3 and self.axis > 0 else None

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            "inputs": len(shapes),
            "outer": int(np.prod(shapes[0][: self.axis], dtype=np.int64)),
            "inner": [int(np.prod(shape[self.axis :], dtype=np.int64)) for shape in shapes],
            "x_zero_points": list(self.x_zero_points),
            "multipliers": self.requantization.multiplier.tolist(),
            "shifts": self.requantization.shift.tolist(),
            **self.requantization.parameters(),
        }
