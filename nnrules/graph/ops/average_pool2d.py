"""Average over a window, or over the whole image."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.operator import Geometry, Operator, Parameter, Shape
from nnrules.graph.requant import Requantization, choose_multiplier

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class AveragePool2d(Operator, frozen=True, kw_only=True):
    """acc = sum (x - x_zero_point) over the valid window; y = requantize(acc) by the multiplier of n.

    n is the number of values averaged: the valid ones, or the whole kernel with ``count_include_pad``.  The
    requantization has kernel height * kernel width + 1 entries, indexed by n; entry 0 is not used.
    """

    op: ClassVar[str] = "average_pool2d"
    onnx_types: ClassVar[tuple[str, ...]] = ("AveragePool", "GlobalAveragePool")

    geometry: Geometry
    count_include_pad: bool = False
    x_zero_point: int
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(
            node, "strides", "pads", "auto_pad", "kernel_shape", "count_include_pad", "dilations", ceil_mode=0
        )
        x = lowering.image(node, node.input[0])
        kernel = tuple(attributes.get("kernel_shape", x.shape[:2]))
        output = lowering.output(node)
        ratio = x.scale / output.scale
        requantization = cls.multipliers(ratio, kernel, output.zero_point, output.bounds, lowering.place(node))
        operator = cls(
            geometry=Geometry.of(kernel, attributes, x.shape),
            count_include_pad=bool(attributes.get("count_include_pad", 0)),
            x_zero_point=x.zero_point,
            requantization=requantization,
        )
        lowering.add(node, operator, [x.name])

    @staticmethod
    def multipliers(
        ratio: float, kernel: tuple[int, int], zero_point: int, bounds: tuple[int, int], where: str
    ) -> Requantization:
        """``ratio`` = input scale / output scale; one multiplier for each possible count."""
        pairs = [choose_multiplier(ratio / max(n, 1), 255 * max(n, 1), where) for n in range(kernel[0] * kernel[1] + 1)]
        multiplier = np.array([p[0] for p in pairs], np.int32)
        return Requantization(multiplier, np.array([p[1] for p in pairs], np.uint8), zero_point, *bounds)

    def counts(self, height: int, width: int) -> np.ndarray:
        """The n of every output position: int64 (out height, out width)."""
        if self.count_include_pad:
            return np.full(self.geometry.output(height, width), self.geometry.kernel[0] * self.geometry.kernel[1])
        return self.geometry.counts(height, width)

    def per_position(self, height: int, width: int) -> Requantization:
        """The requantization with one entry per output position, shaped (out height, out width, 1)."""
        counts, full = self.counts(height, width)[..., np.newaxis], self.requantization
        return Requantization(full.multiplier[counts], full.shift[counts], full.zero_point, full.lo, full.hi)

    def infer(self, *shapes: Shape) -> Shape:
        return (*self.geometry.output(shapes[0][0], shapes[0][1]), shapes[0][2])

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        height, width = inputs[0].shape[1:3]
        padded = self.geometry.pad(inputs[0].astype(np.int64) - self.x_zero_point, 0)
        output, kernel = self.geometry.output(height, width), self.geometry.kernel
        acc = np.zeros((len(padded), *output, padded.shape[3]), np.int64)
        for row in range(kernel[0]):
            for column in range(kernel[1]):
                acc += self.geometry.window(padded, row, column, output)
        return self.per_position(height, width).apply(acc)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        height, width, channels = inputs[0].shape[1:]
        top, left, bottom, right = self.geometry.padding
        centred = torch.nn.functional.pad(inputs[0].permute(0, 3, 1, 2) - self.x_zero_point, (left, right, top, bottom))
        ones = torch.ones((channels, 1, *self.geometry.kernel), dtype=torch.float64)
        acc = torch.nn.functional.conv2d(
            centred, ones, stride=self.geometry.stride, dilation=self.geometry.dilation, groups=channels
        )
        return self.per_position(height, width).simulate(torch, acc.permute(0, 2, 3, 1))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        height, width, channels = emitter.shape(inputs[0])
        ones = emitter.constant(output, "ones", np.ones((channels, 1, *self.geometry.kernel), np.int8))
        zero_point = emitter.constant(output, "x_zero_point", np.int8(self.x_zero_point))
        acc = emitter.node("ConvInteger", [inputs[0], ones, zero_point], group=channels, **self.geometry.onnx())
        emitter.requantize(
            acc, self.per_position(height, width), output, channel_axis=(1, 1, *self.infer((height, width, 1))[:2])
        )

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            **self.geometry.parameters(shapes[0], shapes[0][2]),
            "x_zero_point": self.x_zero_point,
            "count_include_pad": int(self.count_include_pad),
            **self.requantization.parameters(),
        }
