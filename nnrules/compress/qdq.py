"""Quantization parameters: the record every quantizer writes, and the QDQ model it stands for.

Weights are symmetric int8 with one scale per output channel, activations int8 with one scale and zero point per tensor,
biases int32 at input scale times weight scale.  Activations fused into the operator before them (Relu, Clip) and views
(Reshape, Transpose, ...) get no parameters of their own.
"""

import msgspec
import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.qdq_reader import FUSABLE

VIEWS = Reshape.onnx_types
KEEPING = ("MaxPool",)
UNIT_RANGE = ("Softmax", "Sigmoid")
LINEAR = ("Conv", "Gemm", "MatMul")
MAGNITUDE = 127


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


def activations_to_quantize(model: onnx.ModelProto) -> dict[str, str]:
    """The tensors that get parameters: '' for one with its own range, else the tensor whose parameters it shares."""
    found = {value.name: "" for value in model.graph.input}
    consumers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            consumers.setdefault(value, []).append(node)
    outputs = {value.name for value in model.graph.output}
    shared: dict[str, str] = {name: name for name in found}
    for node in model.graph.node:
        result = node.output[0]
        users = consumers.get(result, [])
        if node.op_type in VIEWS:
            shared[result] = shared.get(node.input[0], "")
        elif len(users) == 1 and users[0].op_type in FUSABLE and result not in outputs and node.op_type not in KEEPING:
            continue
        elif node.op_type != "Constant":
            shared[result] = result
            found[result] = shared[node.input[0]] if node.op_type in KEEPING else ""
    return found


def weight_scales(values: np.ndarray, channel_axis: int, where: str) -> np.ndarray:
    """One float32 scale per channel so that the largest weight becomes 127; a channel of zeros gets a tiny scale."""
    largest = np.abs(np.moveaxis(values, channel_axis, 0).reshape(values.shape[channel_axis], -1)).max(1)
    if not np.isfinite(largest).all():
        raise UserError(where, "holds NaN or infinite weights", "train again with a lower learning rate")
    return np.maximum(largest / MAGNITUDE, 1e-8).astype(np.float32)


def channel_axis(node: onnx.NodeProto) -> int:
    """The axis of a linear layer's weights that counts output channels."""
    if node.op_type == "Conv":
        return 0
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return 0 if node.op_type == "Gemm" and transposed else 1


def quantized_model(model: onnx.ModelProto, record: QuantizationRecord) -> onnx.ModelProto:
    """The QDQ model: every activation of the record quantized and dequantized, every weight stored as int8."""
    writer = _Writer(model, record)
    outputs = {value.name for value in model.graph.output}
    for value in model.graph.input:
        writer.quantize(value.name, value.name)
    for node in model.graph.node:
        result = node.output[0]
        quantized = node.op_type not in VIEWS and result in writer.shares
        real = f"{result}/real" if quantized and result in outputs else result
        writer.operator(node, real)
        if quantized:
            writer.quantize(result, real)
    body = helper.make_graph(
        writer.nodes, model.graph.name, model.graph.input, model.graph.output, list(writer.constants.values())
    )
    finished = helper.make_model(body, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(finished, full_check=True)
    return finished


class _Writer:
    """Builds the nodes of a QDQ model; ``renamed`` says which dequantized value stands for a float one."""

    def __init__(self, model: onnx.ModelProto, record: QuantizationRecord) -> None:
        self.record = record
        self.shares = activations_to_quantize(model)
        self.outputs = {value.name for value in model.graph.output}
        self.initializers = {i.name: i for i in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.renamed: dict[str, str] = {}
        self.viewed: dict[str, str] = {}

    def quantize(self, name: str, real: str) -> None:
        """Quantize and dequantize the float value ``real`` that stands for tensor ``name`` of the float model."""
        parameters = self.record.activations[self.shares[name] or name]
        edge = [
            self._constant(f"{name}/scale", np.array(parameters.scale, np.float32)),
            self._constant(f"{name}/zero_point", np.array(parameters.zero_point, np.int8)),
        ]
        result = name if name in self.outputs else f"{name}/dequantized"
        self.nodes += [
            helper.make_node("QuantizeLinear", [real, *edge], [f"{name}/quantized"], name=f"{name}/quantize"),
            helper.make_node("DequantizeLinear", [f"{name}/quantized", *edge], [result], name=f"{name}/dequantize"),
        ]
        self.renamed[name] = result

    def operator(self, node: onnx.NodeProto, result: str) -> None:
        """Copy an operator, its inputs quantized and its output called ``result``."""
        if node.op_type in LINEAR and node.input[1] in self.initializers:
            inputs = self._linear_inputs(node)
        else:
            inputs = [self.renamed.get(name, name) for name in node.input]
        for name in inputs:
            if name in self.initializers:
                self.constants[name] = self.initializers[name]
        if node.op_type in VIEWS:
            self.viewed[node.output[0]] = self._source(node.input[0])
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:], copy.output[0] = inputs, result
        self.nodes.append(copy)

    def _linear_inputs(self, node: onnx.NodeProto) -> list[str]:
        weights, axis = numpy_helper.to_array(self.initializers[node.input[1]]), channel_axis(node)
        scales = np.array(self.record.weights[node.input[1]], np.float32)
        shape = [-1 if a == axis else 1 for a in range(weights.ndim)]
        integers = np.clip(np.rint(weights / scales.reshape(shape)), -MAGNITUDE, MAGNITUDE).astype(np.int8)
        x = self.renamed.get(node.input[0], node.input[0])
        inputs = [x, self._dequantized(node.input[1], integers, scales, axis)]
        if len(node.input) > 2:
            bias_scales = scales * np.float32(self.record.activations[self._source(node.input[0])].scale)
            bias = numpy_helper.to_array(self.initializers[node.input[2]]).astype(np.float64)
            limits = np.iinfo(np.int32)
            stored = np.clip(np.rint(bias / bias_scales.astype(np.float64)), limits.min, limits.max)
            inputs.append(self._dequantized(node.input[2], stored.astype(np.int32), bias_scales, 0))
        return inputs

    def _source(self, name: str) -> str:
        """The tensor whose parameters ``name`` carries."""
        name = self.viewed.get(name, name)
        return self.shares[name] or name

    def _dequantized(self, name: str, integers: np.ndarray, scales: np.ndarray, axis: int) -> str:
        inputs = [
            self._constant(f"{name}/quantized", integers),
            self._constant(f"{name}/scale", scales.astype(np.float32)),
            self._constant(f"{name}/zero_point", np.zeros(len(scales), integers.dtype)),
        ]
        result = f"{name}/dequantized"
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [result], name=f"{name}/dequantize", axis=axis))
        return result

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(value, name)
        return name
