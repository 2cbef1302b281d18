"""Convolution: any kernel, stride, padding, dilation and groups; depthwise where the groups equal the channels.

A signal is an image of height 1.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.graph.narrow import narrow_parameters, weight_bits
from nnrules.graph.operator import Geometry, Parameter, Shape, Windowed
from nnrules.graph.requant import Requantization, accumulator_bound
from nnrules.graph.sparse import START_BYTES, remaining, sparse_parameters
from nnrules.graph.thresholds import Thresholds

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class Conv2d(Windowed, frozen=True, kw_only=True):
    """acc[o] = bias[o] + sum (x - x_zero_point) * weights[o]; y = requantize(acc).

    ``weights`` int8 (out channels, kernel height, kernel width, in channels / groups), ``bias`` int32 (out channels,)
    with no zero point folded in; padding contributes x_zero_point, that is, nothing.
    """

    op: ClassVar[str] = "conv2d"
    onnx_types: ClassVar[tuple[str, ...]] = ("Conv", "BatchNormalization")

    groups: int = 1
    weights: np.ndarray
    bias: np.ndarray
    x_zero_point: int
    requantization: Requantization | Thresholds

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        if node.op_type == "BatchNormalization":
            cls._lower_normalization(lowering, node)
            return
        attributes = lowering.attributes(node, "strides", "dilations", "pads", "auto_pad", "group", "kernel_shape")
        rank = lowering.view(node, node.input[0]).index.ndim + 1
        x = lowering.image(node, node.input[0])
        weights = lowering.weights(node, node.input[1], rank)
        values = weights.values if rank == 4 else weights.values[:, :, np.newaxis]
        ohwi = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
        groups = int(attributes.get("group", 1))
        lowering.require_channels(node, x.shape[2], ohwi.shape[3] * groups)
        bias, requantization = lowering.linear_output(node, x, ohwi, weights.scales, node.input[2:3])
        geometry = Geometry.of(ohwi.shape[1:3], attributes, x.shape)
        x, geometry = lowering.without_border(x, x.zero_point, geometry)
        operator = cls(
            geometry=geometry,
            groups=groups,
            weights=ohwi,
            bias=bias,
            x_zero_point=x.zero_point,
            requantization=requantization,
        )
        lowering.add(node, operator, [x.name])

    @staticmethod
    def _lower_normalization(lowering: "Lowering", node: "onnx.NodeProto") -> None:
        """One that no layer before it took in: x * a + b in each channel."""
        from nnrules.graph.affine import lower_affine

        attributes = lowering.attributes(node, "epsilon", "momentum", "spatial", training_mode=0)
        scale, bias, mean, variance = (lowering.real_constant(node, position) for position in range(1, 5))
        a = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        shape = (-1, *[1] * (lowering.view(node, node.input[0]).index.ndim - 1))
        lower_affine(lowering, node, node.input[0], a.reshape(shape), (bias - mean * a).reshape(shape))

    def folded_bias(self) -> np.ndarray:
        """int32: bias - x_zero_point * sum(weights), for kernels that multiply the raw x and pad with x_zero_point."""
        sums = self.weights.reshape(len(self.weights), -1).astype(np.int64).sum(1)
        return (self.bias.astype(np.int64) - self.x_zero_point * sums).astype(np.int32)

    def infer(self, *shapes: Shape) -> Shape:
        return (*self.geometry.output(shapes[0][0], shapes[0][1]), len(self.weights))

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        padded = self.geometry.pad(inputs[0], self.x_zero_point).astype(np.int64) - self.x_zero_point
        output = self.geometry.output(*inputs[0].shape[1:3])
        grouped = self.weights.reshape(self.groups, -1, *self.weights.shape[1:]).astype(np.int64)
        acc = np.zeros((len(padded), *output, self.groups, grouped.shape[1]), np.int64)
        for row in range(self.geometry.kernel[0]):
            for column in range(self.geometry.kernel[1]):
                seen = self.geometry.window(padded, row, column, output)
                seen = seen.reshape(*seen.shape[:3], self.groups, -1)
                acc += np.einsum("nhwgi,goi->nhwgo", seen, grouped[:, :, row, column], optimize=True)
        return self.requantization.apply(acc.reshape(*acc.shape[:3], -1) + self.bias)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        top, left, bottom, right = self.geometry.padding
        centred = inputs[0].permute(0, 3, 1, 2) - self.x_zero_point
        acc = torch.nn.functional.conv2d(
            torch.nn.functional.pad(centred, (left, right, top, bottom)),
            torch.as_tensor(self.weights.astype(np.float64)).permute(0, 3, 1, 2),
            torch.as_tensor(self.bias.astype(np.float64)),
            stride=self.geometry.stride,
            dilation=self.geometry.dilation,
            groups=self.groups,
        )
        return self.requantization.simulate(torch, acc.permute(0, 2, 3, 1))

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        weights = emitter.constant(output, "weights", self.weights.transpose(0, 3, 1, 2))
        zero_point = emitter.constant(output, "x_zero_point", np.int8(self.x_zero_point))
        acc = emitter.node("ConvInteger", [inputs[0], weights, zero_point], group=self.groups, **self.geometry.onnx())
        bias = emitter.constant(output, "bias", self.bias.reshape(1, -1, 1, 1))
        emitter.requantize(emitter.node("Add", [acc, bias]), self.requantization, output, channel_axis=(1, -1, 1, 1))

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return self.requantization.lo, self.requantization.hi

    @property
    def borders(self) -> tuple[int, ...]:
        return (self.x_zero_point,) if any(self.geometry.padding) else ()

    @property
    def row_padding(self) -> int:
        return self.x_zero_point

    def macs(self, *shapes: Shape) -> int:
        height, width, _ = self.infer(*shapes)
        return height * width * self._remaining()[0]

    def weight_bytes(self) -> int:
        weights, vectors = self._remaining()
        lists = START_BYTES * (vectors + len(self.weights)) if vectors else 0  # where they begin, how many a filter has
        return -(-weights * self.weight_bits // 8) + lists

    def _remaining(self) -> tuple[int, int]:
        return remaining(self.weights) if self.groups == 1 else (int(self.weights.size), 0)

    @property
    def weight_bits(self) -> int:
        return weight_bits(self.weights)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        bound = accumulator_bound(self.weights, self.bias.astype(np.int64), self.x_zero_point)
        return {
            **self.geometry.parameters(shapes[0], len(self.weights)),
            "acc_bits": int(bound.max(initial=0)).bit_length(),
            "groups": self.groups,
            "x_zero_point": self.x_zero_point,
            **self.requantization.parameters(),
            **narrow_parameters(self.weights),
            **(sparse_parameters(self.weights) if self.groups == 1 else {}),
        }
