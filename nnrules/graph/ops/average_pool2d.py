"""Average over a window, or over the whole image."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.operator import Geometry, Parameter, RowWindow, Shape, Windowed, both_axes
from nnrules.graph.requant import Requantization, choose_multiplier, requantize

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class AveragePool2d(Windowed, frozen=True, kw_only=True):
    """acc = sum (x - x_zero_point) over the valid window; y = requantize(acc) by the multiplier of n.

    n is the number of values averaged: the valid ones, or the whole kernel with ``count_include_pad``.  The
    requantization has one entry where n is the same everywhere, else kernel height * kernel width + 1, indexed by n.
    """

    op: ClassVar[str] = "average_pool2d"
    onnx_types: ClassVar[tuple[str, ...]] = ("AveragePool", "GlobalAveragePool")

    count_include_pad: bool = False
    x_zero_point: int
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(
            node, "strides", "pads", "auto_pad", "kernel_shape", "count_include_pad", "dilations", "ceil_mode"
        )
        x = lowering.image(node, node.input[0])
        kernel = both_axes(attributes.get("kernel_shape", x.shape[:2]))
        geometry, rounded_down = (
            Geometry.of(kernel, {**attributes, "ceil_mode": up}, x.shape) for up in (attributes.get("ceil_mode", 0), 0)
        )
        included = bool(attributes.get("count_include_pad", 0))
        if included and geometry != rounded_down:
            if any(rounded_down.padding):
                fault = "counts its padding and rounds its size up"
                raise UserError(lowering.place(node), fault, "only one of count_include_pad and ceil_mode is supported")
            included = False  # what the last windows reach beyond the image is no padding, and never counts
        output = lowering.output(node)
        requantization = cls.multipliers(
            geometry, included, x.scale / output.scale, (output.zero_point, *output.bounds), lowering.place(node)
        )
        operator = cls(
            geometry=geometry, count_include_pad=included, x_zero_point=x.zero_point, requantization=requantization
        )
        lowering.add(node, operator, [x.name])

    @staticmethod
    def multipliers(
        geometry: Geometry, count_include_pad: bool, ratio: float, output: tuple[int, int, int], where: str
    ) -> Requantization:
        """``ratio`` = input scale / output scale; ``output`` = its zero point and bounds (lo, hi)."""
        full = geometry.kernel[0] * geometry.kernel[1]
        uniform = count_include_pad or not any(geometry.padding)
        counts = [full] if uniform else [max(n, 1) for n in range(full + 1)]
        pairs = [choose_multiplier(ratio / n, 255 * n, where) for n in counts]
        multiplier = np.array([p[0] for p in pairs], np.int32)
        return Requantization(multiplier, np.array([p[1] for p in pairs], np.uint8), *output)

    @property
    def is_uniform(self) -> bool:
        """Whether every output averages the same number of values."""
        return len(self.requantization.multiplier) == 1

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
        rule, index = self.requantization, self.geometry.counts(height, width)[..., np.newaxis] * (not self.is_uniform)
        return requantize(acc, rule.multiplier[index], rule.shift[index], rule.zero_point, rule.lo, rule.hi)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        channels = inputs[0].shape[3]
        top, left, bottom, right = self.geometry.padding
        rule = self.requantization

        def sums(image: Any) -> Any:
            ones = torch.ones((image.shape[1], 1, *self.geometry.kernel), dtype=torch.float64)
            padded = torch.nn.functional.pad(image, (left, right, top, bottom))
            window = {"stride": self.geometry.stride, "dilation": self.geometry.dilation, "groups": image.shape[1]}
            return torch.nn.functional.conv2d(padded, ones, **window).permute(0, 2, 3, 1)

        acc = sums(inputs[0].permute(0, 3, 1, 2) - self.x_zero_point)
        if self.is_uniform:
            return rule.simulate(torch, acc)
        index = sums(torch.ones((1, 1, *inputs[0].shape[1:3]), dtype=torch.float64))[0].to(torch.int64)
        chosen = Requantization(rule.multiplier[index], rule.shift[index], rule.zero_point, rule.lo, rule.hi)
        return chosen.simulate(torch, acc.reshape(-1, *index.shape[:2], channels))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        height, width, channels = emitter.shape(inputs[0])
        ones = emitter.constant(output, "ones", np.ones((channels, 1, *self.geometry.kernel), np.int8))
        zero_point = emitter.constant(output, "x_zero_point", np.int8(self.x_zero_point))
        acc = emitter.node("ConvInteger", [inputs[0], ones, zero_point], group=channels, **self.geometry.onnx())
        rule = self.requantization
        if self.is_uniform:
            emitter.requantize(acc, rule, output, channel_axis=(1,))
            return
        down, across = self.geometry.positions_inside(0, height), self.geometry.positions_inside(1, width)
        index = [[n * m for m in across] for n in down]
        chosen = Requantization(rule.multiplier[index], rule.shift[index], rule.zero_point, rule.lo, rule.hi)
        emitter.requantize(acc, chosen, output, channel_axis=(1, 1, len(down), len(across)))

    def row_window(self, *shapes: Shape) -> RowWindow | None:
        vertical = any(self.geometry.padding[::2])
        return super().row_window(*shapes) if self.is_uniform or not vertical else None

    @property
    def row_padding(self) -> int:
        return self.x_zero_point

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            **self.geometry.parameters(shapes[0], shapes[0][2]),
            "x_zero_point": self.x_zero_point,
            "count_include_pad": int(self.count_include_pad),
            "uniform": int(self.is_uniform),
            **self.requantization.parameters(),
        }
