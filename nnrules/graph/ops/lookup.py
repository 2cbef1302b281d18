"""Any unary function of one int8 value, as a table: Relu, Clip, Sigmoid, Tanh, HardSwish, or a change of scale."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nnrules.graph.operator import Operator, Parameter, Shape

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

Real = np.ndarray

FUNCTIONS: dict[str, Callable[[Real], Real]] = {
    "Relu": lambda x: np.maximum(x, 0.0),
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Tanh": np.tanh,
    "HardSigmoid": lambda x: np.clip(x * 0.2 + 0.5, 0.0, 1.0),
    "HardSwish": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
}


class Lookup(Operator, frozen=True, kw_only=True):
    """y = table[x + 128]; ``table`` int8 (256,), made from the real function with one rounding, half up."""

    op: ClassVar[str] = "lookup"
    onnx_types: ClassVar[tuple[str, ...]] = (*FUNCTIONS, "Clip")

    table: np.ndarray

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        if node.op_type == "Clip":
            low, high = lowering.clip_bounds(node)
            function: Callable[[Real], Real] = lambda x: np.clip(x, low, high)  # noqa: E731
        else:
            lowering.attributes(node, **({"alpha": 0.2, "beta": 0.5} if node.op_type == "HardSigmoid" else {}))
            function = FUNCTIONS[node.op_type]
        lower_unary(lowering, node, node.input[0], function)

    @classmethod
    def of(
        cls,
        function: Callable[[Real], Real],
        x: tuple[float, int],
        y: tuple[float, int],
        bounds: tuple[int, int] = (-128, 127),
    ) -> Self:
        """The table of ``function`` between the (scale, zero point) of its input and that of its output.

        Where the function is no number, the table says 0; an infinity is the end of the range.
        """
        with np.errstate(all="ignore"):
            real = function((np.arange(-128, 128) - x[1]) * float(x[0]))
        levels = np.floor(np.nan_to_num(real, nan=0.0, posinf=np.inf, neginf=-np.inf) / y[0] + 0.5) + y[1]
        return cls(table=np.clip(levels, *bounds).astype(np.int8))

    def infer(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        return self.table[inputs[0].astype(np.int64) + 128]

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        table = torch.as_tensor(self.table.astype(np.float64))
        return table[(inputs[0] + 128).to(torch.int64)]

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        offset = emitter.constant(output, "offset", np.int32(128))
        index = emitter.node("Add", [emitter.cast(inputs[0], "INT32"), offset])
        emitter.node("Gather", [emitter.constant(output, "table", self.table), index], output, axis=0)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {"size": int(np.prod(shapes[0], dtype=np.int64))}


def lower_unary(lowering: "Lowering", node: "onnx.NodeProto", value: str, function: Callable[[Real], Real]) -> None:
    """Add ``function`` of the activation ``value`` as a table."""
    x, view = lowering.whole(node, value)
    output = lowering.output(node)
    operator = Lookup.of(function, (x.scale, x.zero_point), (output.scale, output.zero_point), output.bounds)
    lowering.add(node, operator, [x.name], view=view)
