"""An activation quantized with a scale for each channel, as NNCF does before a depthwise convolution -> with one.

Between a convolution and depthwise ones the integers stay: the scales go into the weights of both sides. Elsewhere the
one scale covers what the many did.
"""

from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body
from nnrules.graph.passes.fold_batch_norm import real_constant, scaled_weights

LEVELS = 255
SMALLEST = 2.0**-8  # of the largest scale: of channels that were hardly ever anything but zero
Reals = NDArray[np.float64]


class Channels(NamedTuple):
    """Per channel the scale, and the integers that are the least, zero and the largest (int8 or uint8)."""

    scales: Reals
    least: int
    points: NDArray[np.int64]
    largest: int

    @property
    def low(self) -> Reals:
        """The smallest number of each channel."""
        return (self.least - self.points) * self.scales

    @property
    def high(self) -> Reals:
        """The largest number of each channel."""
        return (self.largest - self.points) * self.scales

    def at(self, point: int) -> Reals:
        """Scales with which one zero point covers for each channel at least the same numbers."""
        below = -self.low / max(point - self.least, 0.5)
        return np.maximum(below, self.high / max(self.largest - point, 0.5))


def run(body: Body) -> None:
    """Channels whose zero points are not that of most get the scale that covers their numbers with that one."""
    for node in [each for each in body.nodes if each.op_type == QUANTIZE]:
        scales, points = body.constant(node.input[1]), body.constant(body.input(node, 2))
        readers = body.users(node.output[0])
        stored = all(each.op_type == DEQUANTIZE for each in readers) and node.output[0] not in body.ends
        if scales is None or points is None or scales.size == 1 or node.input[0] not in body.producer or not stored:
            continue
        if points.dtype not in (np.int8, np.uint8):
            continue  # which is refused when the model is lowered
        limits = np.iinfo(points.dtype)
        full = np.broadcast_to(points.reshape(-1).astype(np.int64), scales.reshape(-1).shape)
        channels = Channels(scales.reshape(-1).astype(np.float64), limits.min, full, limits.max)
        first = body.attribute(node, "axis", 1) == 1
        if not (first and _into_weights(body, node, readers, channels, points.dtype)):
            _cover(body, [node, *readers], channels)


def _into_weights(
    body: Body, node: onnx.NodeProto, readers: list[onnx.NodeProto], channels: Channels, kind: np.dtype[np.generic]
) -> bool:
    """Scale the layer before and the depthwise ones behind; False where they are something else."""
    point = int(np.bincount(channels.points - channels.least).argmax()) + channels.least
    scales = np.where(channels.points == point, channels.scales, channels.at(point))
    scales = np.maximum(scales, scales.max() * SMALLEST)
    activations, layer = _layer_before(body, node.input[0])
    after = [each for reader in readers for each in body.users(reader.output[0])]
    ends = any(reader.output[0] in body.ends for reader in readers)
    if layer is None or ends or not all(_is_depthwise(body, each, len(scales)) for each in after):
        return False
    highest = scales * (channels.largest - point - 0.5)  # rounded to the largest integer, as all above is
    if any(_bound(body, each) < highest.max() for each in activations):
        return False
    factors = scales.max() / scales
    for each in activations:
        each.op_type = "Relu"
        del each.input[1:], each.attribute[:]
    _scale(body, layer, factors)
    for each in after:
        times = body.shapes()[each.output[0]][0][1] // len(scales)
        _scale(body, each, 1.0 / factors.repeat(times), inputs=True)
    _set(body, [node, *readers], np.float32(scales.max()), np.array(point, kind))
    return True


def _layer_before(body: Body, value: str) -> tuple[list[onnx.NodeProto], onnx.NodeProto | None]:
    """The activations that are fused into a layer of constant weights, and the layer, all read by nothing else."""
    activations: list[onnx.NodeProto] = []
    maker = body.producer.get(value)
    while maker is not None and maker.op_type in ("Relu", "Clip") and body.only_user(value) is not None:
        activations.append(maker)
        value = maker.input[0]
        maker = body.producer.get(value)
    alone = maker is not None and maker.op_type == "Conv" and body.only_user(value) is not None
    return activations, maker if alone and maker is not None and _is_constant(body, maker) else None


def _is_constant(body: Body, layer: onnx.NodeProto) -> bool:
    return all(real_constant(body, value) is not None for value in layer.input[1:])


def _is_depthwise(body: Body, node: onnx.NodeProto, channels: int) -> bool:
    return node.op_type == "Conv" and body.attribute(node, "group", 1) == channels and _is_constant(body, node)


def _bound(body: Body, node: onnx.NodeProto) -> float:
    """The upper end of an activation whose lower one is zero; minus infinity for another, or one that is computed."""
    if node.op_type == "Relu":
        return np.inf
    low, high = (body.constant(body.input(node, i)) for i in (1, 2))
    return float(high.reshape(())) if low is not None and high is not None and low.reshape(()) == 0 else -np.inf


def _scale(body: Body, layer: onnx.NodeProto, factors: Reals, inputs: bool = False) -> None:
    """Multiply the weights of each output channel, and its bias unless the factors are those of the layer's inputs."""
    bias = real_constant(body, layer.input[2]) if body.input(layer, 2) and not inputs else None
    if bias is not None:
        name = body.add_constant(f"{layer.input[2]}/scaled", (bias.reshape(-1) * factors).astype(np.float32))
        layer.input[2] = name
    layer.input[1] = scaled_weights(body, layer, 0, factors)
    body.index()


def _cover(body: Body, nodes: list[onnx.NodeProto], channels: Channels) -> None:
    """One scale and zero point for the numbers of all channels."""
    low, high = min(channels.low.min(), 0.0), max(channels.high.max(), 0.0)
    scale = np.float32(max(high - low, 1e-8) / LEVELS)
    _set(body, nodes, scale, np.array(np.clip(round(-128 - low / scale), -128, 127), np.int8))


def _set(body: Body, nodes: list[onnx.NodeProto], scale: np.float32, point: NDArray[np.generic]) -> None:
    quantized = nodes[0].output[0]
    names = [body.add_constant(f"{quantized}/scale", scale), body.add_constant(f"{quantized}/zero_point", point)]
    for node in nodes:
        del node.input[1:], node.attribute[:]
        node.input.extend(names)
    body.index()
