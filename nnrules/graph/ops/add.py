"""Element-wise addition of two tensors of one shape, each with its own scale."""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

LARGEST_SHIFT = 22


class Add(Operator, frozen=True, kw_only=True):
    """y = clamp((m1 * x1 + m2 * x2 + c) >> k, lo, hi): one rounding, half up; every partial sum fits in 32 bits."""

    op: ClassVar[str] = "add"
    onnx_types: ClassVar[tuple[str, ...]] = ("Add",)

    m1: int
    m2: int
    c: int
    k: int
    lo: int
    hi: int

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        lowering.attributes(node)
        x1, x2 = lowering.alike(node, list(node.input))
        output = lowering.output(node)
        ratios = (x1.scale / output.scale, x2.scale / output.scale)
        operator = cls.of(
            ratios, (x1.zero_point, x2.zero_point), output.zero_point, output.bounds, lowering.place(node)
        )
        lowering.add(node, operator, [x1.name, x2.name], elementwise=True)

    @classmethod
    def of(
        cls,
        ratios: tuple[float, float],
        zero_points: tuple[int, int],
        zero_point: int,
        bounds: tuple[int, int],
        where: str,
    ) -> Self:
        """From the input scales over the output scale: the larger multiplier lies in [2^14, 2^15), k <= 22."""
        k = min(LARGEST_SHIFT, 15 - math.frexp(max(ratios))[1])
        if round(max(ratios) * 2.0**k) == 2**15:  # rounded up
            k -= 1
        if k < 1:
            fault = f"an input's scale is {max(ratios):.3g} times the output's"
            raise UserError(where, fault, "recalibrate the output's range")
        m1, m2 = (round(ratio * 2.0**k) for ratio in ratios)
        c = (1 << (k - 1)) + (zero_point << k) - m1 * zero_points[0] - m2 * zero_points[1]
        return cls(m1=m1, m2=m2, c=c, k=k, lo=bounds[0], hi=bounds[1])

    def infer(self, *shapes: Shape) -> Shape:
        return shapes[0]

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

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        size = int(np.prod(shapes[0], dtype=np.int64))
        return {"size": size, "m1": self.m1, "m2": self.m2, "c": self.c, "k": self.k, "lo": self.lo, "hi": self.hi}
