"""Transposed convolution: every input value adds its weights to a window of the output; any stride and groups."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.operator import Operator, Parameter, Shape, both_axes
from nnrules.graph.requant import Requantization

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class ConvTranspose2d(Operator, frozen=True, kw_only=True):
    """acc[o, p] = bias[o] + sum of (x[i] - x_zero_point) * weights[o, k] where p = i * stride + k * dilation - cut.

    p, i and k are (row, column) of the output, the input and the kernel; ``size`` is the output's; y = requantize(acc).
    ``weights`` int8 (out channels, kernel height, kernel width, in channels / groups), ``bias`` int32 (out channels,)
    with no zero point folded in.
    """

    op: ClassVar[str] = "conv_transpose2d"
    onnx_types: ClassVar[tuple[str, ...]] = ("ConvTranspose",)

    stride: tuple[int, int]
    dilation: tuple[int, int]
    cut: tuple[int, int]
    size: tuple[int, int]
    groups: int = 1
    weights: np.ndarray
    bias: np.ndarray
    x_zero_point: int
    requantization: Requantization

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(
            node, "strides", "dilations", "pads", "auto_pad", "group", "kernel_shape", "output_padding", "output_shape"
        )
        rank = lowering.view(node, node.input[0]).index.ndim + 1
        x = lowering.image(node, node.input[0])
        found = lowering.weights(node, node.input[1], rank, transposed=True)
        values = found.values if rank == 4 else found.values[:, :, np.newaxis]
        groups = int(attributes.get("group", 1))
        lowering.require_channels(node, x.shape[2], values.shape[1])
        apart = values.reshape(len(values), groups, -1, *values.shape[2:]).transpose(1, 0, 3, 4, 2)
        weights = np.ascontiguousarray(apart.reshape(-1, *apart.shape[2:]))
        scales = np.tile(found.scales, groups)
        bias, requantization = lowering.linear_output(node, x, weights, scales, node.input[2:3])
        assert isinstance(requantization, Requantization)  # it is not among THRESHOLDED
        stride, dilation = (both_axes(attributes.get(name, (1, 1))) for name in ("strides", "dilations"))
        size = both_axes(lowering.shapes[node.output[0]][1:])
        operator = cls(
            stride=stride,
            dilation=dilation,
            cut=_cut(attributes, x.shape, weights.shape[1:3], stride, dilation, size),
            size=size,
            groups=groups,
            weights=weights,
            bias=bias,
            x_zero_point=x.zero_point,
            requantization=requantization,
        )
        lowering.add(node, operator, [x.name])

    def infer(self, *shapes: Shape) -> Shape:
        return (*self.size, len(self.weights))

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        batch, height, width, _ = inputs[0].shape
        x = (inputs[0].astype(np.int64) - self.x_zero_point).reshape(batch, height, width, self.groups, -1)
        grouped = self.weights.reshape(self.groups, -1, *self.weights.shape[1:]).astype(np.int64)
        kernel, (down, across) = self.weights.shape[1:3], self.stride
        rows = max(self.cut[0] + self.size[0], (height - 1) * down + (kernel[0] - 1) * self.dilation[0] + 1)
        columns = max(self.cut[1] + self.size[1], (width - 1) * across + (kernel[1] - 1) * self.dilation[1] + 1)
        acc = np.zeros((batch, rows, columns, self.groups, grouped.shape[1]), np.int64)
        for row in range(kernel[0]):
            for column in range(kernel[1]):
                top, left = row * self.dilation[0], column * self.dilation[1]
                window = (
                    slice(top, top + (height - 1) * down + 1, down),
                    slice(left, left + (width - 1) * across + 1, across),
                )
                acc[:, *window] += np.einsum("nhwgi,goi->nhwgo", x, grouped[:, :, row, column], optimize=True)
        kept = acc[:, self.cut[0] : self.cut[0] + self.size[0], self.cut[1] : self.cut[1] + self.size[1]]
        return self.requantization.apply(kept.reshape(batch, *self.size, -1) + self.bias)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        weights = torch.as_tensor(self.weights.astype(np.float64))
        per_group = weights.reshape(self.groups, -1, *weights.shape[1:]).permute(0, 4, 1, 2, 3).flatten(0, 1)
        full = torch.nn.functional.conv_transpose2d(
            inputs[0].permute(0, 3, 1, 2) - self.x_zero_point,
            per_group,
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
        )
        missing = [size + cut - n for size, cut, n in zip(self.size, self.cut, full.shape[2:], strict=True)]
        border = (-self.cut[1], missing[1], -self.cut[0], missing[0])
        acc = torch.nn.functional.pad(full, border).permute(0, 2, 3, 1)
        return self.requantization.simulate(torch, acc + torch.as_tensor(self.bias.astype(np.float64)))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        height, width, channels = emitter.shape(inputs[0])
        zero_point = emitter.constant(output, "x_zero_point", np.int8(self.x_zero_point))

        def shaped(x: str, role: str, *shape: int) -> str:
            return emitter.node("Reshape", [x, emitter.constant(output, role, np.array([0, *shape], np.int64))])

        def padded(x: str, role: str, pads: list[int]) -> str:
            return emitter.node("Pad", [x, emitter.constant(output, role, np.array(pads, np.int64)), zero_point])

        kernel, (down, across) = self.weights.shape[1:3], self.stride
        apart = shaped(inputs[0], "apart", channels, height, 1, width, 1)
        spread = padded(apart, "gaps", [0] * 6 + [0, 0, 0, down - 1, 0, across - 1])
        wide = shaped(spread, "wide", channels, height * down, width * across)
        reach = [(k - 1) * d for k, d in zip(kernel, self.dilation, strict=True)]
        before = [r - cut for r, cut in zip(reach, self.cut, strict=True)]
        lengths = (height * down, width * across)
        after = [self.size[a] + reach[a] - before[a] - lengths[a] for a in (0, 1)]
        seen = padded(wide, "borders", [0, 0, *before, 0, 0, *after])
        weights = emitter.constant(output, "weights", self.weights.transpose(0, 3, 1, 2)[:, :, ::-1, ::-1])
        operands = [seen, weights, zero_point]
        acc = emitter.node("ConvInteger", operands, dilations=list(self.dilation), group=self.groups)
        bias = emitter.constant(output, "bias", self.bias.reshape(1, -1, 1, 1))
        emitter.requantize(emitter.node("Add", [acc, bias]), self.requantization, output, channel_axis=(1, -1, 1, 1))

    def macs(self, *shapes: Shape) -> int:
        return shapes[0][0] * shapes[0][1] * int(self.weights.size)

    def weight_bytes(self) -> int:
        return int(self.weights.size)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        image = dict(zip(("in_h", "in_w", "in_c"), shapes[0], strict=True))
        pairs = {"out": self.size, "k": self.weights.shape[1:3], "stride": self.stride, "dilation": self.dilation}
        return {
            **image,
            **{f"{name}_{axis}": int(each[i]) for name, each in pairs.items() for i, axis in enumerate("hw")},
            "cut_top": self.cut[0],
            "cut_left": self.cut[1],
            "out_c": len(self.weights),
            "groups": self.groups,
            "x_zero_point": self.x_zero_point,
            **self.requantization.parameters(),
        }


def _cut(
    attributes: dict[str, Any],
    image: Shape,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    size: tuple[int, int],
) -> tuple[int, int]:
    """How many rows and columns are cut off in front: the pads, or ONNX's share of all that is cut."""
    pads = attributes.get("pads", (0, 0, 0, 0))
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "VALID" or (auto == "NOTSET" and "output_shape" not in attributes):
        return (0, 0) if auto == "VALID" else both_axes(pads[: len(pads) // 2], 0)
    more = both_axes(attributes.get("output_padding", (0, 0)), 0)
    total = [max(0, stride[a] * (image[a] - 1) + more[a] + (kernel[a] - 1) * dilation[a] + 1 - size[a]) for a in (0, 1)]
    half = [t // 2 for t in total]
    return (half[0], half[1]) if auto == "SAME_UPPER" else (total[0] - half[0], total[1] - half[1])
