"""Element-wise sum or difference of two tensors, each with its own scale; one may be repeated along some axes."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nnrules.error import UserError
from nnrules.graph.affine import lower_affine
from nnrules.graph.broadcast import broadcast_parameters
from nnrules.graph.operator import Operator, Parameter, RowWindow, Shape

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

LARGEST_SHIFT = 22


class Add(Operator, frozen=True, kw_only=True):
    """y = clamp((m1 * x1 + m2 * x2 + c) >> k, lo, hi): one rounding, half up; every partial sum fits in 32 bits.

    A difference has a negative m2.  The inputs have one rank; an axis of length 1 is repeated along the other's.
    """

    op: ClassVar[str] = "add"
    onnx_types: ClassVar[tuple[str, ...]] = ("Add", "Sub")

    m1: int
    m2: int
    c: int
    k: int
    lo: int
    hi: int

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        lowering.attributes(node)
        value, constant, position = lowering.with_constant(node)
        sign = -1 if node.op_type == "Sub" else 1
        if constant is not None:
            slope, offset = (np.array(sign), constant) if position == 0 else (np.ones(1), sign * constant)
            lower_affine(lowering, node, value, slope, offset)
            return
        (x1, x2), view = lowering.pair(node)
        output = lowering.output(node)
        ratios = (x1.scale / output.scale, sign * x2.scale / output.scale)
        operator = cls.of(
            ratios, (x1.zero_point, x2.zero_point), output.zero_point, output.bounds, lowering.place(node)
        )
        lowering.add(node, operator, [x1.name, x2.name], view=view)

    @classmethod
    def of(
        cls,
        ratios: tuple[float, float],
        zero_points: tuple[int, int],
        zero_point: int,
        bounds: tuple[int, int],
        where: str,
    ) -> Self:
        """From the input scales over the output scale, negative for what is subtracted: the larger multiplier's
        magnitude lies in [2^14, 2^15), k <= 22.
        """
        largest = max(map(abs, ratios))
        k = min(LARGEST_SHIFT, 15 - math.frexp(largest)[1])
        if round(largest * 2.0**k) == 2**15:  # rounded up
            k -= 1
        if k < 1:
            fault = f"an input's scale is {largest:.3g} times the output's"
            raise UserError(where, fault, "recalibrate the output's range")
        m1, m2 = (round(ratio * 2.0**k) for ratio in ratios)
        c = (1 << (k - 1)) + (zero_point << k) - m1 * zero_points[0] - m2 * zero_points[1]
        return cls(m1=m1, m2=m2, c=c, k=k, lo=bounds[0], hi=bounds[1])

    def infer(self, *shapes: Shape) -> Shape:
        return np.broadcast_shapes(*shapes)

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        total = self.m1 * inputs[0].astype(np.int64) + self.m2 * inputs[1].astype(np.int64) + self.c
        return np.clip(total >> self.k, self.lo, self.hi).astype(np.int8)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        total = inputs[0] * float(self.m1) + inputs[1] * float(self.m2) + float(self.c)
        return torch.clamp(torch.floor(total / 2.0**self.k), self.lo, self.hi)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        terms = [
            emitter.node("Mul", [emitter.cast(x, "DOUBLE"), emitter.constant(output, f"m{i}", np.float64(m))])
            for i, (x, m) in enumerate(zip(inputs, (self.m1, self.m2), strict=True))
        ]
        total = emitter.node("Add", [emitter.node("Add", terms), emitter.constant(output, "c", np.float64(self.c))])
        scaled = emitter.node("Mul", [total, emitter.constant(output, "scale", np.float64(2.0**-self.k))])
        emitter.saturate(emitter.node("Floor", [scaled]), self.lo, self.hi, output)

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return self.lo, self.hi

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        return RowWindow() if len(shapes[0]) == 3 and len(set(shapes)) == 1 else None

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        loops = broadcast_parameters(shapes[0], shapes[1])
        return {**loops, "m1": self.m1, "m2": self.m2, "c": self.c, "k": self.k, "lo": self.lo, "hi": self.hi}
