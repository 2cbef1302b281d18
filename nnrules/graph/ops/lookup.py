"""Any function of one int8 value, as a table: Relu, Clip, Sigmoid, HardSwish, Gelu, a power, or a change of scale."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from nnrules.error import UserError
from nnrules.graph.extremes import lower_extreme
from nnrules.graph.operator import Operator, Parameter, RowWindow, Shape

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

Real = np.ndarray

FUNCTIONS: dict[str, Callable[..., Real]] = {
    "Relu": lambda x: np.maximum(x, 0.0),
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "ThresholdedRelu": lambda x, alpha=1.0: np.where(x > alpha, x, 0.0),
    "Elu": lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(x), x),
    "Selu": lambda x, alpha=1.6732632, gamma=1.0507010: gamma * np.where(x < 0, alpha * np.expm1(x), x),
    "Celu": lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(x / alpha), x),
    "Gelu": lambda x, approximate=b"none": x * (_gauss_by_tanh(x) if approximate == b"tanh" else _gauss(x)),
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "HardSigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(x * alpha + beta, 0.0, 1.0),
    "HardSwish": lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    "Swish": lambda x, alpha=1.0: x / (1.0 + np.exp(-alpha * x)),
    "Mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "Tanh": np.tanh,
    "Softplus": lambda x: np.logaddexp(0.0, x),
    "Softsign": lambda x: x / (1.0 + np.abs(x)),
    "Erf": lambda x: 2.0 * _gauss(x * math.sqrt(2.0)) - 1.0,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Reciprocal": lambda x: 1.0 / x,
    "Sin": np.sin,
    "Cos": np.cos,
    "Abs": np.abs,
    "Neg": lambda x: -x,
    "Sign": np.sign,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
}
"""The real functions by ONNX operator type; their attributes are keyword arguments."""


def _gauss(x: Real) -> Real:
    """The normal distribution's cumulative probability."""
    return np.array([0.5 * math.erfc(-each / math.sqrt(2.0)) for each in x])


def _gauss_by_tanh(x: Real) -> Real:
    """Its approximation in Gelu (Hendrycks and Gimpel, 2016, arXiv:1606.08415)."""
    return 0.5 * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


class Lookup(Operator, frozen=True, kw_only=True):
    """y = table[x + 128]; ``table`` int8 (256,), made from the real function with one rounding, half up."""

    op: ClassVar[str] = "lookup"
    onnx_types: ClassVar[tuple[str, ...]] = (*FUNCTIONS, "Clip", "Pow", "Max", "Min")

    table: np.ndarray

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        if node.op_type not in ("Max", "Min"):
            lower_unary(lowering, node, node.input[0], _function(lowering, node))
            return
        if all(value in lowering.views for value in node.input):
            lower_extreme(lowering, node)
            return
        value, bound, _ = lowering.with_constant(node) if len(node.input) == 2 else ("", None, 0)
        if bound is None or np.ptp(bound) != 0:
            cure = "only activations, or one and a constant number, are supported"
            raise UserError(lowering.place(node), "compares tensors", cure)
        limit = np.maximum if node.op_type == "Max" else np.minimum
        lower_unary(lowering, node, value, lambda x: limit(x, bound.flat[0]))

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

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        seen = self.table[spans[0][0] + 128 : spans[0][1] + 129]
        return int(seen.min()), int(seen.max())

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        return RowWindow() if len(shapes[0]) == 3 and len(set(shapes)) == 1 else None

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {"size": int(np.prod(shapes[0], dtype=np.int64))}


def _function(lowering: "Lowering", node: "onnx.NodeProto") -> Callable[[Real], Real]:
    if node.op_type == "Clip":
        low, high = lowering.clip_bounds(node)
        return lambda x: np.clip(x, low, high)
    if node.op_type == "Pow":
        lowering.attributes(node)
        exponent = lowering.real_constant(node, 1)
        if exponent.size != 1:
            raise UserError(lowering.place(node), "has several exponents", "only one constant number is supported")
        return lambda x: np.power(x, exponent.item())
    function = FUNCTIONS[node.op_type]
    known = () if isinstance(function, np.ufunc) else function.__code__.co_varnames[1:]
    arguments = lowering.attributes(node, *known)
    return lambda x: function(x, **arguments)


def lower_unary(lowering: "Lowering", node: "onnx.NodeProto", value: str, function: Callable[[Real], Real]) -> None:
    """Add ``function`` of the activation ``value`` as a table."""
    x, view = lowering.whole(node, value)
    output = lowering.output(node)

    def stepped(real: Real) -> Real:
        result = function(real)
        for step in output.steps:
            result = step(result)
        return result

    operator = Lookup.of(stepped, (x.scale, x.zero_point), (output.scale, output.zero_point), output.bounds)
    lowering.add(node, operator, [x.name], view=view)
