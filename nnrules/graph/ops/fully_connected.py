"""Fully connected layer: Gemm or MatMul with constant weights, over one vector or several rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnrules.error import UserError
from nnrules.graph.narrow import narrow_parameters, weight_bits
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.requant import Requantization
from nnrules.graph.thresholds import Thresholds

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.emit import Emitter
    from nnrules.graph.lowering import Lowering


class FullyConnected(Operator, frozen=True, kw_only=True):
    """acc[o] = bias[o] + sum (x - x_zero_point) * weights[o]; y = requantize(acc).

    ``weights`` int8 (out features, in features), ``bias`` int32 (out features,); x (.., in features) -> y (.., out
    features).
    """

    op: ClassVar[str] = "fully_connected"
    onnx_types: ClassVar[tuple[str, ...]] = ("Gemm",)

    weights: np.ndarray
    bias: np.ndarray
    x_zero_point: int
    requantization: Requantization | Thresholds

    @classmethod
    def lower(cls, lowering: "Lowering", node: "onnx.NodeProto") -> None:
        attributes = lowering.attributes(node, "alpha", "beta", "transA", "transB")
        scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
        if scaled or attributes.get("transA", 0):
            raise UserError(
                lowering.place(node),
                "alpha, beta and transA must be left at their defaults",
                "fold them into the weights",
            )
        x, order = lowering.rows(node, node.input[0])
        quantized = lowering.weights(node, node.input[1], rank=2, transposed=not attributes.get("transB", 0))
        lowering.require_channels(node, len(order), quantized.values.shape[1])
        weights = np.empty_like(quantized.values)
        weights[:, order] = quantized.values
        bias, requantization = lowering.linear_output(node, x, weights, quantized.scales, node.input[2:3])
        operator = cls(weights=weights, bias=bias, x_zero_point=x.zero_point, requantization=requantization)
        lowering.add(node, operator, [x.name])

    def folded_bias(self) -> np.ndarray:
        """int32: bias - x_zero_point * sum(weights), for kernels that multiply the raw x."""
        return (self.bias.astype(np.int64) - self.x_zero_point * self.weights.astype(np.int64).sum(1)).astype(np.int32)

    def infer(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], len(self.weights))

    def reference(self, *inputs: np.ndarray) -> np.ndarray:
        centred = inputs[0].astype(np.int64) - self.x_zero_point
        return self.requantization.apply(centred @ self.weights.T.astype(np.int64) + self.bias)

    def simulate(self, torch: Any, *inputs: Any) -> Any:
        weights = torch.as_tensor(self.weights.astype(np.float64))
        bias = torch.as_tensor(self.bias.astype(np.float64))
        return self.requantization.simulate(
            torch, torch.nn.functional.linear(inputs[0] - self.x_zero_point, weights, bias)
        )

    def emit(self, emitter: "Emitter", inputs: list[str], output: str) -> None:
        weights = emitter.constant(output, "weights", self.weights.T)
        zero_point = emitter.constant(output, "x_zero_point", np.int8(self.x_zero_point))
        acc = emitter.node("MatMulInteger", [emitter.channels_last(inputs[0]), weights, zero_point])
        biased = emitter.node("Add", [acc, emitter.constant(output, "bias", self.bias)])
        rows = emitter.requantize(biased, self.requantization, f"{output}.rows", channel_axis=(-1,))
        emitter.channels_first(rows, output)

    def span(self, shapes: Sequence[Shape], spans: Sequence[tuple[int, int]]) -> tuple[int, int]:
        return self.requantization.lo, self.requantization.hi

    def macs(self, *shapes: Shape) -> int:
        return int(np.prod(shapes[0][:-1], dtype=np.int64)) * int(self.weights.size)

    def weight_bytes(self) -> int:
        return -(-int(self.weights.size) * self.weight_bits // 8)

    @property
    def weight_bits(self) -> int:
        return weight_bits(self.weights)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {
            "rows": int(np.prod(shapes[0][:-1], dtype=np.int64)),
            "in_c": shapes[0][-1],
            "out_c": len(self.weights),
            "x_zero_point": self.x_zero_point,
            **self.requantization.parameters(),
            **narrow_parameters(self.weights),
        }
