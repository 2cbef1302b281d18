"""Quantization parameters: the record that every quantizer writes, and which tensors have some.

Activations fused into the operator before them (Relu, Clip) have none of their own; views (Reshape, Slice, ...)
and what picks or mixes values (MaxPool, Resize, ...) carry their input's.
"""

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.error import UserError
from nnrules.graph.ops.arg_max import ArgMax
from nnrules.graph.ops.rearrange import Rearrange
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.qdq_reader import FUSABLE

VIEWS = (*Reshape.onnx_types, *Rearrange.onnx_types)
KEEPING = ("MaxPool", "GlobalMaxPool", "Pad", "Resize", "Upsample", "ReduceMax", "ReduceMin")
UNIT_RANGE = ("Softmax", "Sigmoid")
LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
MAGNITUDE = 127
LARGEST_BIAS = 2**30
SMALLEST_RATIO = 2**-16  # of accumulator step to output step: what one multiplier can express well


class Activation(msgspec.Struct, frozen=True):
    """real = scale * (integer - zero_point), int8; the scale is a float32 value."""

    scale: float
    zero_point: int

    @classmethod
    def covering(cls, low: float, high: float) -> "Activation":
        """The finest quantization whose 256 levels cover [low, high] and hold zero exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        scale = float(np.float32(max(high - low, 1e-8) / 255))
        return cls(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


class QuantizationRecord(msgspec.Struct, frozen=True):
    """All parameters of a model: by tensor name for activations, by initializer name (one scale per channel) for
    weights.
    """

    method: str
    activations: dict[str, Activation]
    weights: dict[str, list[float]]


def carriers(model: onnx.ModelProto) -> dict[str, str]:
    """For each value that is quantized, the tensor whose parameters it carries: mostly itself."""
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            consumers.setdefault(value, []).append(node)
    outputs = {value.name for value in model.graph.output}
    found = {value.name: value.name for value in model.graph.input}
    for node in model.graph.node:
        result, users = node.output[0], consumers.get(node.output[0], [])
        fused = len(users) == 1 and users[0].op_type in FUSABLE and result not in outputs
        if node.op_type in (*VIEWS, *KEEPING):
            if node.input[0] in found:
                found |= dict.fromkeys(node.output, found[node.input[0]])
        elif node.op_type not in ("Constant", *ArgMax.onnx_types) and not fused:
            found[result] = result
    return found


def channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a linear layer's weights that counts output channels."""
    if node.op_type in ("Conv", "ConvTranspose"):
        return int(node.op_type == "ConvTranspose")
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else 1


def weight_scales(model: onnx.ModelProto, activations: dict[str, Activation], where: str) -> dict[str, list[float]]:
    """By initializer name, one float32 scale per output channel: the largest weight becomes 127.

    A channel with hardly any weights gets a larger scale, so that its bias fits 31 bits and its multiplier is exact.
    """
    initializers = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    carried = carriers(model)
    readers = {value: node for node in model.graph.node for value in node.input}
    found: dict[str, np.ndarray] = {}
    for node in model.graph.node:
        if node.op_type not in LINEAR or node.input[1] not in initializers:
            continue
        result = node.output[0]
        while result not in carried:
            result = readers[result].output[0]
        x, y = activations[carried[node.input[0]]].scale, activations[carried[result]].scale
        weights = initializers[node.input[1]]
        channels = np.moveaxis(weights, channel_axis(node), 0).reshape(weights.shape[channel_axis(node)], -1)
        bias = initializers[node.input[2]] if len(node.input) > 2 else np.zeros(len(channels))
        largest = np.abs(channels).max(1)
        if not (np.isfinite(largest).all() and np.isfinite(bias).all()):
            cure = "train again with a lower learning rate"
            raise UserError(f"{where}: '{node.input[1]}'", "holds NaN or infinite weights", cure)
        by_group = np.abs(bias).reshape(-1, len(channels) if bias.size > 1 else 1).max(0)
        floor = np.maximum(by_group / (x * LARGEST_BIAS), SMALLEST_RATIO * y / x)
        scales = np.maximum(largest / MAGNITUDE, floor)
        found[node.input[1]] = np.maximum(scales, found.get(node.input[1], 0)).astype(np.float32)
    return {name: scales.tolist() for name, scales in found.items()}
