"""Bilinear scaling by exact rational weights; nearest neighbours are a view.

An output position looks at one real position of the input.  Along each axis that is a whole number of ``one``-ths
between two neighbours, so the interpolation is a sum of integers with one rounding at the end.
"""

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.requant import Requantization, channel_requantization

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

MODES = ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners")
LARGEST_DENOMINATOR = 4096


class ResizeLinear(Operator, frozen=True, kw_only=True):
    """acc = sum over two rows and two columns of weight * (x - x_zero_point); y = requantize(acc).

    ``rows`` and ``columns`` int32 (output length, 3): for each output position two input positions and the weight of
    the second, of ``one[axis]``; the first has the rest.  The requantization divides by the product of both ones.
    """

    op: ClassVar[str] = "resize_linear"
    onnx_types: ClassVar[tuple[str, ...]] = ("Resize", "Upsample")

    rows: np.ndarray
    columns: np.ndarray
    one: tuple[int, int]
    x_zero_point: int
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(
            node, "mode", "coordinate_transformation_mode", "nearest_mode", "scales", "cubic_coeff_a",
            "extrapolation_value", "axes", antialias=0, exclude_outside=0, keep_aspect_ratio_policy=b"stretch",
        )  # fmt: skip
        if attributes.get("mode", b"nearest") == b"nearest":
            lowering.rearrange(node)
            return
        x = lowering.image(node, node.input[0])
        scales = _scales(lowering, node, attributes, x.shape)
        usual = "asymmetric" if node.op_type == "Upsample" else "half_pixel"
        mode = attributes.get("coordinate_transformation_mode", usual.encode()).decode()
        if attributes["mode"] != b"linear" or mode not in MODES:
            fault = f"mode {attributes['mode'].decode()} with {mode} is not supported"
            raise UserError(lowering.place(node), fault, f"supported: nearest, and linear with {', '.join(MODES)}")
        (rows, one_row), (columns, one_column) = (
            interpolation(length, scale, mode) for length, scale in zip(x.shape[:2], scales, strict=True)
        )
        output, one = lowering.output(node), one_row * one_column
        rule = channel_requantization(
            np.array([x.scale / output.scale / one]),
            np.array([255 * one]),
            output.zero_point,
            output.bounds,
            lowering.place(node),
        )
        operator = cls(
            rows=rows, columns=columns, one=(one_row, one_column), x_zero_point=x.zero_point, requantization=rule
        )
        lowering.add(node, operator, [x.name])

    def infer(self, *shapes: Shape) -> Shape:
        return len(self.rows), len(self.columns), shapes[0][2]

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        x = inputs[0].astype(np.int64) - self.x_zero_point
        for axis, (table, one) in enumerate(zip((self.rows, self.columns), self.one, strict=True), 1):
            second = table[:, 2].astype(np.int64).reshape(-1, *[1] * (3 - axis))
            x = x.take(table[:, 0], axis) * (one - second) + x.take(table[:, 1], axis) * second
        return self.requantization.apply(x)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        def dense(table: np.ndarray, one: int, length: int) -> Any:
            matrix = torch.zeros((len(table), length), dtype=torch.float64)
            for row, (first, second, weight) in enumerate(table.tolist()):
                matrix[row, first] += one - weight
                matrix[row, second] += weight
            return matrix

        rows = dense(self.rows, self.one[0], inputs[0].shape[1])
        columns = dense(self.columns, self.one[1], inputs[0].shape[2])
        acc = torch.einsum("nhwc,ah,bw->nabc", inputs[0] - self.x_zero_point, rows, columns)
        return self.requantization.simulate(torch, acc)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        height, width, _ = emitter.shape(inputs[0])
        factors = []
        for role, table, one, length in (
            ("rows", self.rows, self.one[0], height),
            ("columns", self.columns, self.one[1], width),
        ):
            hot = np.eye(length)
            matrix = hot[table[:, 0]] * (one - table[:, 2:]) + hot[table[:, 1]] * table[:, 2:]
            factors.append(emitter.constant(output, role, matrix if role == "rows" else matrix.T))
        point = emitter.constant(output, "x_zero_point", np.float64(self.x_zero_point))
        centred = emitter.node("Sub", [emitter.cast(inputs[0], "DOUBLE"), point])
        acc = emitter.node("MatMul", [factors[0], emitter.node("MatMul", [centred, factors[1]])])
        emitter.requantize(acc, self.requantization, output, channel_axis=(-1,))

    def macs(self, *shapes: Shape) -> int:
        return 4 * math.prod(self.infer(*shapes))

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        height, width, channels = shapes[0]
        return {
            "in_h": height,
            "in_w": width,
            "in_c": channels,
            "out_h": len(self.rows),
            "out_w": len(self.columns),
            "one_h": self.one[0],
            "one_w": self.one[1],
            "x_zero_point": self.x_zero_point,
            "multiplier": int(self.requantization.multiplier[0]),
            "shift": int(self.requantization.shift[0]),
            **self.requantization.parameters(),
        }


def interpolation(length: int, scale: Fraction, mode: str) -> tuple[np.ndarray, int]:
    """The table of one axis and its ``one``, as ONNX's Resize defines the position that each output looks at.

    >>> interpolation(2, Fraction(2), "asymmetric")
    (array([[0, 1, 0],
           [0, 1, 1],
           [1, 1, 0],
           [1, 1, 0]], dtype=int32), 2)
    """
    outputs = math.floor(length * scale)
    half = Fraction(1, 2)
    if mode == "align_corners":
        seen = [Fraction(i * (length - 1), outputs - 1) if outputs > 1 else Fraction(0) for i in range(outputs)]
    elif mode == "asymmetric":
        seen = [i / scale for i in range(outputs)]
    elif mode == "pytorch_half_pixel" and outputs == 1:
        seen = [Fraction(0)]
    else:
        seen = [(i + half) / scale - half for i in range(outputs)]
    seen = [min(max(each, Fraction(0)), Fraction(length - 1)) for each in seen]
    one = math.lcm(*(each.denominator for each in seen))
    firsts = [math.floor(each) for each in seen]
    table = [(f, min(f + 1, length - 1), int((each - f) * one)) for f, each in zip(firsts, seen, strict=True)]
    return np.array(table, np.int32), one


def _scales(
    lowering: "Lowering", node: "onnx.NodeProto", attributes: dict[str, Any], shape: Shape
) -> tuple[Fraction, Fraction]:
    """Output height and width over the input's; a scale of a few digits is taken for the fraction it stands for."""
    position = 1 if node.op_type == "Upsample" else 2
    given = attributes.get("scales") or lowering.constant(node, position)
    out = lowering.shapes[node.output[0]]
    rank = len(out) + 1
    found = [Fraction(size, length) for size, length in zip((1, *out)[-2:], shape[:2], strict=True)]
    if given is not None and np.size(given):
        axes = [axis % rank for axis in attributes.get("axes", range(rank))]
        by_axis = dict(zip(axes, np.asarray(given, np.float64).tolist(), strict=True))
        real = [by_axis.get(axis, 1.0) if axis > 1 else 1.0 for axis in (rank - 2, rank - 1)]
        found = [Fraction(each).limit_denominator(LARGEST_DENOMINATOR) for each in real]
    return found[0], found[1]
