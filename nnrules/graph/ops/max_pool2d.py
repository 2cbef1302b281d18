"""Maximum over a window, or over the whole image; the output keeps the input's quantization."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.operator import Geometry, Parameter, Shape, Windowed, both_axes

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class MaxPool2d(Windowed, frozen=True, kw_only=True):
    """y = the largest x of each window and channel; padding never wins."""

    op: ClassVar[str] = "max_pool2d"
    onnx_types: ClassVar[tuple[str, ...]] = ("MaxPool", "GlobalMaxPool")

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(
            node, "strides", "dilations", "pads", "auto_pad", "kernel_shape", "ceil_mode", storage_order=0
        )
        x = lowering.image(node, node.input[0])
        geometry = Geometry.of(both_axes(attributes.get("kernel_shape", x.shape[:2])), attributes, x.shape)
        x, geometry = lowering.without_border(x, -128, geometry)
        lowering.add_keeping(node, cls(geometry=geometry), x)

    def infer(self, *shapes: Shape) -> Shape:
        return (*self.geometry.output(shapes[0][0], shapes[0][1]), shapes[0][2])

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        padded = self.geometry.pad(inputs[0], -128)
        output = self.geometry.output(*inputs[0].shape[1:3])
        kernel = self.geometry.kernel
        seen = [self.geometry.window(padded, r, c, output) for r in range(kernel[0]) for c in range(kernel[1])]
        return np.maximum.reduce(seen)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        top, left, bottom, right = self.geometry.padding
        padded = torch.nn.functional.pad(inputs[0].permute(0, 3, 1, 2), (left, right, top, bottom), value=-128.0)
        pooled = torch.nn.functional.max_pool2d(
            padded, self.geometry.kernel, self.geometry.stride, dilation=self.geometry.dilation
        )
        return pooled.permute(0, 2, 3, 1)

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        emitter.node("MaxPool", inputs, output, **self.geometry.onnx())

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        inside = [self.geometry.positions_inside(axis, shapes[0][axis]) for axis in (0, 1)]
        return (spans[0][0] if min(map(min, inside)) else -128), spans[0][1]

    @property
    def row_padding(self) -> int:
        return -128

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self.geometry.parameters(shapes[0], shapes[0][2])
