"""Borders of one value; borders that repeat or mirror the inside are views."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.views import memory_order, positions

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

MOST_AXES = 3


class Pad(Operator, frozen=True, kw_only=True):
    """y is x with ``before`` and ``after`` values of ``value`` along each axis (NHWC order, without batch).

    The output keeps the input's quantization.
    """

    op: ClassVar[str] = "pad"
    onnx_types: ClassVar[tuple[str, ...]] = ("Pad",)

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(node, "mode", "pads", "value")
        if attributes.get("mode", b"constant") != b"constant":
            lowering.rearrange(node)
            return
        amounts, real = _arguments(lowering, node, attributes)
        if (amounts[:, 0] != 0).any() or (amounts < 0).any():
            cure = "only borders of other axes are supported; crop with Slice"
            raise UserError(lowering.place(node), "pads the batch, or by a negative amount", cure)
        order = memory_order(lowering.view(node, node.input[0]).index)
        x = lowering.laid(node, node.input[0], order)
        before, after = (tuple(int(each[axis + 1]) for axis in order) for each in amounts)
        value = int(x.quantize(np.array(real)))
        operator = cls(before=before, after=after, value=value)
        if len(operator.joined(x.shape)) > MOST_AXES:
            fault = f"has borders along {len(operator.joined(x.shape))} axes"
            raise UserError(lowering.place(node), fault, f"at most {MOST_AXES} are supported")
        view = positions(operator.infer(x.shape)).transpose(np.argsort(order))
        lowering.add_keeping(node, operator, x, view)

    def infer(self, *shapes: Shape) -> Shape:
        return tuple(b + n + a for b, n, a in zip(self.before, shapes[0], self.after, strict=True))

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        widths = [(0, 0), *zip(self.before, self.after, strict=True)]
        return np.pad(inputs[0], widths, constant_values=self.value)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        widths = [each for pair in zip(reversed(self.before), reversed(self.after), strict=True) for each in pair]
        return torch.nn.functional.pad(inputs[0], widths, value=float(self.value))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        rank = len(self.before)
        pads = np.zeros(2 * (rank + 1), np.int64)
        for axis in range(rank):
            place = emitter.axis(inputs[0], axis)
            pads[place], pads[place + rank + 1] = self.before[axis], self.after[axis]
        value = emitter.constant(output, "value", np.int8(self.value))
        emitter.node("Pad", [inputs[0], emitter.constant(output, "pads", pads), value], output)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        joined = self.joined(shapes[0])
        lengths, before, after = zip(*([[1, 0, 0]] * (MOST_AXES - len(joined)) + joined), strict=True)
        axes = range(MOST_AXES)
        return {
            "size": math.prod(self.infer(*shapes)),
            "value": self.value,
            **{f"length_{axis}": lengths[axis] for axis in axes},
            **{f"before_{axis}": before[axis] for axis in axes},
            **{f"after_{axis}": after[axis] for axis in axes},
        }

    def joined(self, shape: Shape) -> list[list[int]]:
        """Length, border before and after of each axis, those without a border joined to the axis outside of them."""
        axes: list[list[int]] = []
        for length, before, after in zip(shape, self.before, self.after, strict=True):
            if axes and not before and not after:
                axes[-1] = [each * length for each in axes[-1]]
            else:
                axes.append([length, before, after])
        return axes


def _arguments(lowering: "Lowering", node: "onnx.NodeProto", attributes: dict[str, Any]) -> tuple[np.ndarray, float]:
    """Amounts before and after each axis, int64 (2, rank with batch), and the real value."""
    rank = lowering.view(node, node.input[0]).index.ndim + 1
    given = [lowering.constant(node, position) for position in range(1, 4)]
    pads = given[0] if given[0] is not None else np.array(attributes["pads"])
    value = float(given[1].item()) if given[1] is not None else float(attributes.get("value", 0.0))
    axes = given[2] % rank if given[2] is not None else np.arange(rank)
    amounts = np.zeros((2, rank), np.int64)
    amounts[:, axes] = pads.reshape(2, -1)
    return amounts, value
