"""What every operator of the integer graph provides: one frozen record, one file in ``graph/ops``.

Activations are int8, NHWC; shapes in the graph leave the batch out.  An operator's record holds everything its
arithmetic needs (weights, multipliers, zero points): the tensors' scales are information for people and for the
model's edges.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
import numpy as np

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering

Shape = tuple[int, ...]
Parameter = int | list[int]


class RowWindow(msgspec.Struct, frozen=True):
    """Row r of an output needs the input's rows r * stride - pad + dilation * (0 .. kernel - 1); outside is padding."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    pad: int = 0


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all operators; the subclass's module name is its ``op`` in the graph, the plan and the kernels."""

    op: ClassVar[str]
    onnx_types: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @abstractmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        """Add the integer form of a quantized ONNX ``node`` (one of ``onnx_types``) to ``lowering``."""

    @abstractmethod
    def infer(self, *shapes: Shape) -> Shape:
        """The output's shape from the inputs' shapes, all without batch."""

    @abstractmethod
    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        """The exact definition in numpy integers: int8 arrays with a leading batch axis -> int8."""

    @abstractmethod
    def simulate(self, torch: Any, *inputs: Any) -> Any:
        """The same in PyTorch on integer-valued float64 tensors, sharing no arithmetic with ``reference``."""

    @abstractmethod
    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        """Write standard ONNX operators that compute the same integers; images are NCHW there."""

    def macs(self, *shapes: Shape) -> int:
        """Multiply-accumulates of one inference; zero for data movement and element-wise work."""
        return 0

    def weight_bytes(self) -> int:
        """Bytes of its weights at their width; packings may store them wider."""
        return 0

    @property
    def weight_bits(self) -> int:
        """Bits that each of its weights needs: 8, or up to 4."""
        return 8

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        """The compile-time constants that kernels select on and templates are rendered with."""
        return {}

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        """Which rows of each input a row of the output needs; None where an output needs all of them, or rows mean
        nothing."""
        return None

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """The lowest and the highest value that outputs have, from those of the inputs."""
        return -128, 127

    @property
    def borders(self) -> tuple[int, ...]:
        """Values that it reads around its first input, which where rows are brought together are stored like it."""
        return ()

    def on_rows(self) -> "Operator":
        """The same on images that come with the rows above and below them: without padding there."""
        return self

    @property
    def row_padding(self) -> int:
        """What is in the rows above and below an image."""
        return 0

    @property
    def output_type(self) -> str:
        """The output's type: int8, or int32 for positions."""
        return "int8"

    @property
    def is_alias(self) -> bool:
        """Whether the output is the input's memory seen under another shape (no kernel runs)."""
        return False


def both_axes(amounts: Sequence[int], height: int = 1) -> tuple[int, int]:
    """An ONNX attribute of an image (vertical, horizontal), or of a signal, which is an image of height 1."""
    first, *rest = amounts
    return (first, rest[0]) if rest else (height, first)


def _to_be_covered(length: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    """Padding to add behind an axis so that its last window, where ``ceil_mode`` asks for one more, is whole."""
    reach = (kernel - 1) * dilation + 1
    outputs = -(-(length + before + after - reach) // stride) + 1
    if (outputs - 1) * stride >= length + before:  # it would begin in the padding
        outputs -= 1
    return max(0, (outputs - 1) * stride + reach - length - before - after)


class Geometry(msgspec.Struct, frozen=True, kw_only=True):
    """The window of a convolution or pooling: (vertical, horizontal) pairs and (top, left, bottom, right) padding."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, kernel: tuple[int, int], attributes: dict[str, Any], image: Shape) -> Self:
        """From ONNX attributes, of images or of signals; ``image`` is the input's (height, width, channels), needed for
        ``auto_pad``.
        """
        stride = both_axes(attributes.get("strides", (1, 1)))
        dilation = both_axes(attributes.get("dilations", (1, 1)))
        pads = attributes.get("pads", (0, 0, 0, 0))
        before, after = both_axes(pads[: len(pads) // 2], 0), both_axes(pads[len(pads) // 2 :], 0)
        padding = (before[0], before[1], after[0], after[1])
        auto = attributes.get("auto_pad", b"NOTSET").decode()
        if auto == "VALID":
            padding = (0, 0, 0, 0)
        if auto in ("SAME_UPPER", "SAME_LOWER"):
            total = [
                max(0, (-(-image[a] // stride[a]) - 1) * stride[a] + (kernel[a] - 1) * dilation[a] + 1 - image[a])
                for a in (0, 1)
            ]
            small, large = [t // 2 for t in total], [t - t // 2 for t in total]
            begin, end = (small, large) if auto == "SAME_UPPER" else (large, small)
            padding = (begin[0], begin[1], end[0], end[1])
        if attributes.get("ceil_mode", 0):
            more = [
                _to_be_covered(image[a], kernel[a], stride[a], dilation[a], padding[a], padding[a + 2]) for a in (0, 1)
            ]
            padding = (padding[0], padding[1], padding[2] + more[0], padding[3] + more[1])
        return cls(kernel=kernel, stride=stride, dilation=dilation, padding=padding)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """Output height and width, rounded down."""
        sides = zip(
            (height, width), self.kernel, self.stride, self.dilation, self.padding[:2], self.padding[2:], strict=True
        )
        oh, ow = ((n + before + after - d * (k - 1) - 1) // s + 1 for n, k, s, d, before, after in sides)
        return oh, ow

    def pad(self, x: np.ndarray, value: int) -> np.ndarray:
        """``x`` (batch, height, width, channels) with its border filled with ``value``."""
        top, left, bottom, right = self.padding
        return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)

    def window(self, padded: np.ndarray, row: int, column: int, output: tuple[int, int]) -> np.ndarray:
        """What kernel position (row, column) sees at each output position: (batch, out height, out width, channels)."""
        y, x = row * self.dilation[0], column * self.dilation[1]
        return padded[
            :,
            y : y + (output[0] - 1) * self.stride[0] + 1 : self.stride[0],
            x : x + (output[1] - 1) * self.stride[1] + 1 : self.stride[1],
        ]

    def counts(self, height: int, width: int) -> np.ndarray:
        """How many kernel positions lie inside the image at each output position: int64 (out height, out width)."""
        inside = np.ones((1, height, width, 1), np.int64)
        output, padded = self.output(height, width), self.pad(inside, 0)
        rows, columns = range(self.kernel[0]), range(self.kernel[1])
        return np.sum([self.window(padded, r, c, output)[0, :, :, 0] for r in rows for c in columns], axis=0)

    def positions_inside(self, axis: int, length: int) -> list[int]:
        """How many kernel positions fall inside an image of ``length`` along an axis, for each output position."""
        kernel, stride, dilation = self.kernel[axis], self.stride[axis], self.dilation[axis]
        before, outputs = self.padding[axis], self.output(length, length)[axis]
        starts = (o * stride - before for o in range(outputs))
        return [sum(0 <= start + k * dilation < length for k in range(kernel)) for start in starts]

    def parameters(self, image: Shape, out_channels: int) -> dict[str, Parameter]:
        """The kernel parameters in_h .. pad_right."""
        sides = ("top", "left", "bottom", "right")
        pairs = {"k": self.kernel, "stride": self.stride, "dilation": self.dilation}
        return {
            **dict(zip(("in_h", "in_w", "in_c"), image, strict=True)),
            **dict(zip(("out_h", "out_w", "out_c"), (*self.output(*image[:2]), out_channels), strict=True)),
            **{f"{name}_{axis}": pair[i] for name, pair in pairs.items() for i, axis in enumerate("hw")},
            **{f"pad_{side}": amount for side, amount in zip(sides, self.padding, strict=True)},
        }

    @property
    def rows(self) -> RowWindow:
        """The window's vertical part; that of one row is not dilated."""
        return RowWindow(self.kernel[0], self.stride[0], self.dilation[0] if self.kernel[0] > 1 else 1, self.padding[0])

    def on_rows(self) -> Self:
        """Without the padding above and below."""
        return msgspec.structs.replace(self, padding=(0, self.padding[1], 0, self.padding[3]))

    def onnx(self) -> dict[str, Any]:
        """The ONNX attributes of the same window."""
        return {
            "kernel_shape": list(self.kernel),
            "strides": list(self.stride),
            "dilations": list(self.dilation),
            "pads": list(self.padding),
        }


class Windowed(Operator, frozen=True, kw_only=True):
    """Base of the operators that see an image through a window."""

    geometry: Geometry

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        return self.geometry.rows

    def on_rows(self) -> Self:
        return msgspec.structs.replace(self, geometry=self.geometry.on_rows())
