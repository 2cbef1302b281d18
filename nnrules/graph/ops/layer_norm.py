"""Layer normalization over the last axis, in whole numbers by an exact definition of our own.

Of n values x: d = n * x - sum(x), v = n * sum(x^2) - sum(x)^2 + epsilon (the variance, times n^2). With the power of
four that brings v into 2^30 .. 2^32,

    m = floor(v * 4^e),  root = floor(sqrt(m)),  r = floor(2^31 / root),  t = round(d * r * 2^(e + fraction - 31))

t is the normalized value with so many fractional bits, rounded half up; y = requantize(t * gain + bias) by the gain and
the bias of its position and one multiplier. The input's zero point cancels out.
"""

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.requant import Requantization, channel_requantization
from nnrules.graph.views import positions

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

LONGEST = 2**12
LARGEST_NORMAL, LARGEST_GAIN, LARGEST_BIAS, LARGEST_EPSILON = 2**14, 2**12 - 1, 2**28, 2**40
UPWARDS = [2 ** (32 - 2 * k) for k in range(1, 16)]  # v below so many of these is shifted up by so many fours
DOWNWARDS = [2 ** (30 + 2 * k) for k in range(1, 7)]  # likewise down; the largest v is below 2^42
Reals = NDArray[np.float64]


class LayerNorm(Operator, frozen=True, kw_only=True):
    """``gain`` int16 and ``bias`` int32, one for each position of the last axis; see the module for the arithmetic."""

    op: ClassVar[str] = "layer_norm"
    onnx_types: ClassVar[tuple[str, ...]] = ("LayerNormalization",)

    gain: np.ndarray
    bias: np.ndarray
    epsilon: int
    fraction: int
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(node, "axis", "epsilon", "stash_type")
        shape = lowering.view(node, node.input[0]).index.shape
        axis = int(attributes.get("axis", -1)) % (len(shape) + 1) - 1
        if axis < 0:
            raise UserError(lowering.place(node), "works along the batch", "only the other axes are supported")
        length = math.prod(shape[axis:])
        constants = [lowering.real_constant(node, place) for place in range(1, len(node.input)) if node.input[place]]
        gain, bias = (np.broadcast_to(each, shape[axis:]).reshape(-1) for each in (*constants, np.zeros(1))[:2])
        if length > LONGEST:
            fault = f"normalizes {length:,} values together"
            raise UserError(lowering.place(node), fault, f"at most {LONGEST:,} are supported")
        x, output = lowering.laid(node, node.input[0]), lowering.output(node)
        rows = x if axis == len(shape) - 1 else lowering.reshaped(x, (*shape[:axis], length))
        ends = (output.scale, output.zero_point, *output.bounds)
        epsilon = attributes.get("epsilon", 1e-5) / x.scale**2
        operator = cls.of(gain, bias, epsilon, ends, lowering.place(node))
        lowering.add(node, operator, [rows.name], view=positions(shape))

    @classmethod
    def of(cls, gain: Reals, bias: Reals, epsilon: float, output: tuple[float, int, int, int], where: str) -> Self:
        """``epsilon`` in squared steps of the input; ``output`` = its scale, zero point and bounds (lo, hi)."""
        length = len(gain)
        whole = round(epsilon * length**2)
        if not (np.isfinite(gain).all() and np.isfinite(bias).all()):
            raise UserError(where, "its gain or bias is not finite", "check the model for NaN")
        if whole > LARGEST_EPSILON:
            raise UserError(where, "its input is nearly constant", "give samples whose values differ")
        fraction = LARGEST_NORMAL.bit_length() - 1 - (1 + (length - 1).bit_length()) // 2
        unit = max(
            np.abs(gain).max() * 2.0**-fraction / LARGEST_GAIN, np.abs(bias).max() / LARGEST_BIAS, output[0] * 2.0**-16
        )
        gains, biases = np.rint(gain * 2.0**-fraction / unit), np.rint(bias / unit)
        largest = (LARGEST_NORMAL + 4) * np.abs(gains).max() + np.abs(biases).max()
        rule = channel_requantization(
            np.array([unit / output[0]]), np.array([int(largest)]), output[1], (output[2], output[3]), where
        )
        return cls(
            gain=gains.astype(np.int16),
            bias=biases.astype(np.int32),
            epsilon=max(1, whole),
            fraction=fraction,
            requantization=rule,
        )

    def infer(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        x, length = inputs[0].astype(np.int64), inputs[0].shape[-1]
        total = x.sum(-1, keepdims=True)
        v = length * (x * x).sum(-1, keepdims=True) - total * total + self.epsilon
        e = (32 - np.frexp(v.astype(np.float64))[1].astype(np.int64)) // 2
        m = np.where(e < 0, v >> np.maximum(-2 * e, 0), v << np.maximum(2 * e, 0))
        r = 2**31 // np.floor(np.sqrt(m.astype(np.float64))).astype(np.int64)
        places = 31 - self.fraction - e
        t = ((length * x - total) * r + (1 << (places - 1))) >> places
        return self.requantization.apply(t * self.gain.astype(np.int64) + self.bias)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        x, length = inputs[0].to(torch.int64), inputs[0].shape[-1]
        total = x.sum(-1, keepdim=True)
        v = length * (x * x).sum(-1, keepdim=True) - total * total + self.epsilon
        shift = torch.full_like(v, 31 - self.fraction)
        for _ in DOWNWARDS:
            large = v >= 2**32
            v, shift = torch.where(large, v >> 2, v), shift + large
        for _ in UPWARDS:
            small = v < 2**30
            v, shift = torch.where(small, v << 2, v), shift - small.to(torch.int64)
        r = torch.div(2**31, torch.floor(torch.sqrt(v.to(torch.float64))), rounding_mode="floor").to(torch.int64)
        t = ((length * x - total) * r + (torch.ones_like(shift) << (shift - 1))) >> shift
        gain, bias = (torch.as_tensor(each.astype("int64")) for each in (self.gain, self.bias))
        return self.requantization.simulate(torch, (t * gain + bias).to(torch.float64))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        def known(role: str, value: Any, kind: type = np.int64) -> str:
            return emitter.constant(output, role, np.array(value, kind))

        length, axes = known("length", emitter.shape(inputs[0])[-1]), known("axes", [-1])
        x = emitter.cast(emitter.channels_last(inputs[0]), "INT64")
        total = emitter.node("ReduceSum", [x, axes], keepdims=1)
        squares = emitter.node("ReduceSum", [emitter.node("Mul", [x, x]), axes], keepdims=1)
        spread = emitter.node("Sub", [emitter.node("Mul", [squares, length]), emitter.node("Mul", [total, total])])
        v = emitter.node("Add", [spread, known("epsilon", self.epsilon)])
        below = emitter.node("Less", [v, known("upwards", UPWARDS)])
        above = emitter.node("GreaterOrEqual", [v, known("downwards", DOWNWARDS)])
        up, down = (
            emitter.node("ReduceSum", [emitter.cast(each, "INT64"), axes], keepdims=1) for each in (below, above)
        )
        fours = known("fours", [4**k for k in range(len(UPWARDS) + 1)])
        raised = emitter.node("Mul", [v, emitter.node("Gather", [fours, up])])
        m = emitter.node("Div", [raised, emitter.node("Gather", [fours, down])])
        root = emitter.cast(emitter.node("Floor", [emitter.node("Sqrt", [emitter.cast(m, "DOUBLE")])]), "INT64")
        r = emitter.node("Div", [known("one", 2**31), root])
        d = emitter.node("Sub", [emitter.node("Mul", [x, length]), total])
        product = emitter.cast(emitter.node("Mul", [d, r]), "DOUBLE")
        place = emitter.node("Add", [emitter.node("Sub", [up, down]), known("lowest", len(DOWNWARDS))])
        exponents = [e + self.fraction - 31 for e in range(-len(DOWNWARDS), len(UPWARDS) + 1)]
        factor = emitter.node("Gather", [known("factors", [2.0**each for each in exponents], np.float64), place])
        half = known("half", 0.5, np.float64)
        t = emitter.node("Floor", [emitter.node("Add", [emitter.node("Mul", [product, factor]), half])])
        scaled = emitter.node("Mul", [t, known("gain", self.gain, np.float64)])
        acc = emitter.node("Add", [scaled, known("bias", self.bias, np.float64)])
        rows = emitter.requantize(acc, self.requantization, f"{output}.rows", channel_axis=(-1,))
        emitter.channels_first(rows, output)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            "rows": math.prod(shapes[0][:-1]),
            "length": shapes[0][-1],
            "epsilon": self.epsilon,
            "places": 31 - self.fraction,
            "multiplier": int(self.requantization.multiplier[0]),
            "shift": int(self.requantization.shift[0]),
            **self.requantization.parameters(),
        }
