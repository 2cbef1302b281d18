"""PRelu: negative values times a slope of their channel; with one slope for all it is a table."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.affine import by_channel
from nnrules.graph.operator import Operator, Parameter, RowWindow, Shape
from nnrules.graph.ops.lookup import lower_unary
from nnrules.graph.requant import Requantization, choose_multiplier

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class Prelu(Operator, frozen=True, kw_only=True):
    """acc = x - x_zero_point; y = requantize(acc) by ``positive`` (one multiplier) or its channel's of ``negative``.

    A negative slope has a negative multiplier; the rounding is the same, half up.
    """

    op: ClassVar[str] = "prelu"
    onnx_types: ClassVar[tuple[str, ...]] = ("PRelu",)

    x_zero_point: int
    positive: Requantization
    negative: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        lowering.attributes(node)
        slopes = lowering.aligned_constant(node, 1)
        if np.ptp(slopes) == 0:
            slope = float(slopes.flat[0])
            lower_unary(lowering, node, node.input[0], lambda x: np.where(x < 0, slope * x, x))
            return
        x, view, (slopes,) = by_channel(lowering, node, node.input[0], slopes)
        output = lowering.output(node)
        ratio, ends = x.scale / output.scale, (output.zero_point, *output.bounds)
        operator = cls.of(ratio, slopes, x.zero_point, ends, lowering.place(node))
        lowering.add(node, operator, [x.name], view=view)

    @classmethod
    def of(
        cls, ratio: float, slopes: np.ndarray, x_zero_point: int, output: tuple[int, int, int], where: str
    ) -> "Prelu":
        """``ratio`` = input scale / output scale; ``output`` = its zero point and bounds (lo, hi)."""

        def rule(scales: list[float]) -> Requantization:
            pairs = [choose_multiplier(abs(scale), 255, where) if scale else (0, 0) for scale in scales]
            multipliers = [math.copysign(pair[0], scale) for pair, scale in zip(pairs, scales, strict=True)]
            shifts = np.array([pair[1] for pair in pairs], np.uint8)
            return Requantization(np.array(multipliers, np.int32), shifts, *output)

        negative = rule([ratio * float(slope) for slope in slopes])
        return cls(x_zero_point=x_zero_point, positive=rule([ratio]), negative=negative)

    def infer(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        acc = inputs[0].astype(np.int64) - self.x_zero_point
        return np.where(acc < 0, self.negative.apply(acc), self.positive.apply(acc))

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        acc = inputs[0] - float(self.x_zero_point)
        return torch.where(acc < 0, self.negative.simulate(torch, acc), self.positive.simulate(torch, acc))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        point = emitter.constant(output, "x_zero_point", np.int32(self.x_zero_point))
        acc = emitter.node("Sub", [emitter.cast(inputs[0], "INT32"), point])
        axis = (1, -1, 1, 1) if len(emitter.shape(inputs[0])) == 3 else (-1,)
        sides = [
            emitter.cast(emitter.requantize(acc, rule, f"{output}.{side}", channel_axis=axis), "INT32")
            for side, rule in (("negative", self.negative), ("positive", self.positive))
        ]
        below = emitter.node("Less", [acc, emitter.constant(output, "nought", np.int32(0))])
        emitter.cast(emitter.node("Where", [below, *sides]), "INT8", output)

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        return RowWindow() if len(shapes[0]) == 3 and len(set(shapes)) == 1 else None

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            "rows": math.prod(shapes[0][:-1]),
            "channels": shapes[0][-1],
            "x_zero_point": self.x_zero_point,
            "positive_multiplier": int(self.positive.multiplier[0]),
            "positive_shift": int(self.positive.shift[0]),
            **self.negative.parameters(),
        }
