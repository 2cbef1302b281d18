"""Softmax over the last axis by a table, with an exact integer definition of our own.

    d = max(x) - x,  t = table[d],  y = clamp(zero_point + (t * reciprocal + sum(t) / 2) / sum(t))

All unsigned 32-bit, both divisions rounded down; table[d] = round(2^15 * exp(-scale * d)), reciprocal = round(1 /
output scale).
"""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

TABLE_ONE = 2**15
MOST_CLASSES = 2**15
LARGEST_RECIPROCAL = 2**15


class Softmax(Operator, frozen=True, kw_only=True):
    """``table`` uint32 (256,) of exp(-scale * d) * 2^15; see the module for the arithmetic."""

    op: ClassVar[str] = "softmax"
    onnx_types: ClassVar[tuple[str, ...]] = ("Softmax",)

    table: np.ndarray
    reciprocal: int
    zero_point: int

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(node, "axis")
        x = lowering.last_axis(node, node.input[0], int(attributes.get("axis", -1)))
        output = lowering.output(node)
        if output.bounds != (-128, 127):
            raise UserError(lowering.place(node), "an activation after it cannot be fused", "quantize its output first")
        reciprocal = round(1 / output.scale)
        if not 1 <= reciprocal <= LARGEST_RECIPROCAL or x.shape[-1] > MOST_CLASSES:
            raise UserError(
                lowering.place(node),
                f"the output scale {output.scale:.3g} or {x.shape[-1]} classes do not fit",
                "use scale 1/256",
            )
        lowering.add(node, cls.of(x.scale, reciprocal, output.zero_point), [x.name], elementwise=True)

    @classmethod
    def of(cls, scale: float, reciprocal: int = 256, zero_point: int = -128) -> "Softmax":
        """From the input's scale; the usual output has scale 1/256 and zero point -128."""
        table = np.floor(TABLE_ONE * np.exp(-scale * np.arange(256)) + 0.5).astype(np.uint32)
        return cls(table=table, reciprocal=reciprocal, zero_point=zero_point)

    def infer(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        x = inputs[0].astype(np.int64)
        t = self.table.astype(np.int64)[x.max(-1, keepdims=True) - x]
        total = t.sum(-1, keepdims=True)
        return np.clip(self.zero_point + (t * self.reciprocal + total // 2) // total, -128, 127).astype(np.int8)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        x = inputs[0]
        table = torch.as_tensor(self.table.astype(np.float64))
        t = table[(x.max(-1, keepdim=True).values - x).to(torch.int64)].to(torch.int64)
        total = t.sum(-1, keepdim=True)
        rounded = torch.div(t * self.reciprocal + total // 2, total, rounding_mode="floor")
        return torch.clamp(rounded + self.zero_point, -128, 127).to(torch.float64)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        axis = emitter.axis(inputs[0], len(emitter.shape(inputs[0])) - 1)
        wide = emitter.cast(inputs[0], "INT64")
        axes = emitter.constant(output, "axis", np.array([axis], np.int64))
        distance = emitter.node("Sub", [emitter.node("ReduceMax", [wide, axes], keepdims=1), wide])
        t = emitter.node("Gather", [emitter.constant(output, "table", self.table.astype(np.int64)), distance], axis=0)
        total = emitter.node("ReduceSum", [t, axes], keepdims=1)
        half = emitter.node("Div", [total, emitter.constant(output, "two", np.int64(2))])
        product = emitter.node("Mul", [t, emitter.constant(output, "reciprocal", np.int64(self.reciprocal))])
        ratio = emitter.node("Div", [emitter.node("Add", [product, half]), total])
        shifted = emitter.node("Add", [ratio, emitter.constant(output, "zero_point", np.int64(self.zero_point))])
        emitter.saturate(emitter.cast(shifted, "DOUBLE"), -128, 127, output)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        rows = int(np.prod(shapes[0][:-1], dtype=np.int64))
        return {
            "rows": rows,
            "classes": shapes[0][-1],
            "reciprocal": self.reciprocal,
            "y_zero_point": self.zero_point,
        }
