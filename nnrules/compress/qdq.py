"""The QDQ model that a record of quantization parameters stands for.

Weights are symmetric int8 with one scale per output channel, activations int8 with one scale and zero point per tensor,
biases int32 at input scale times weight scale.
"""

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnrules.catalog.names import NOTE
from nnrules.compress.parameters import LINEAR, MAGNITUDE, VIEWS, QuantizationRecord, carriers, chains, channel_axis


def quantized_model(model: onnx.ModelProto, record: QuantizationRecord) -> onnx.ModelProto:
    """The QDQ model: every activation of the record quantized and dequantized, every weight stored as int8."""
    writer = _Writer(model, record)
    outputs = {value.name for value in model.graph.output}
    for value in model.graph.input:
        writer.quantize(value.name, value.name)
    for node in model.graph.node:
        result = node.output[0]
        quantized = node.op_type not in VIEWS and result in writer.carriers
        real = f"{result}/real" if quantized and result in outputs else result
        writer.operator(node, real)
        if quantized:
            writer.quantize(result, real)
    body = helper.make_graph(
        writer.nodes, model.graph.name, model.graph.input, model.graph.output, list(writer.constants.values())
    )
    finished = helper.make_model(body, opset_imports=model.opset_import, ir_version=model.ir_version)
    finished.metadata_props.extend(each for each in model.metadata_props if each.key == NOTE)
    onnx.checker.check_model(finished, full_check=True)
    return finished


class _Writer:
    """Builds the nodes of a QDQ model; ``renamed`` says which dequantized value stands for a float one."""

    def __init__(self, model: onnx.ModelProto, record: QuantizationRecord) -> None:
        self.record = record
        self.carriers = carriers(model, record.stated)
        self.stepped = set(chains(model, record.stated).values())
        self.outputs = {value.name for value in model.graph.output}
        self.initializers = {i.name: i for i in model.graph.initializer}
        self.readers = Counter(value for node in model.graph.node for value in node.input)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.renamed: dict[str, str] = {}

    def quantize(self, name: str, real: str) -> None:
        """Quantize and dequantize the float value ``real`` that stands for tensor ``name`` of the float model."""
        parameters = self.record.activations[self.carriers[name]]
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
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:], copy.output[0] = inputs, result
        self.nodes.append(copy)

    def _linear_inputs(self, node: onnx.NodeProto) -> list[str]:
        """Layers may share weights, stored once; a bias that several read is stored for each, at its input's scale."""
        weights, axis = numpy_helper.to_array(self.initializers[node.input[1]]), channel_axis(node)
        scales = np.array(self.record.weights[node.input[1]], np.float32)
        shape = [-1 if a == axis else 1 for a in range(weights.ndim)]
        integers = np.clip(np.rint(weights / scales.reshape(shape)), -MAGNITUDE, MAGNITUDE).astype(np.int8)
        x = self.renamed.get(node.input[0], node.input[0])
        inputs = [x, self._dequantized(node.input[1], integers, scales, axis)]
        if len(node.input) > 2 and node.output[0] in self.stepped:  # thresholds take the bias as it is
            inputs.append(node.input[2])
        elif len(node.input) > 2:
            bias_scales = scales * np.float32(self.record.activations[self.carriers[node.input[0]]].scale)
            bias = numpy_helper.to_array(self.initializers[node.input[2]]).astype(np.float64).reshape(-1)
            bias_scales = np.tile(bias_scales, max(1, bias.size // scales.size))  # a transposed convolution's groups
            stored = np.rint(np.broadcast_to(bias, bias_scales.shape) / bias_scales.astype(np.float64)).astype(np.int32)
            alone = self.readers[node.input[2]] == 1
            name = node.input[2] if alone else f"{node.input[2]}/{node.output[0]}"
            inputs.append(self._dequantized(name, stored, bias_scales, 0))
        return inputs

    def _dequantized(self, name: str, integers: np.ndarray, scales: np.ndarray, axis: int) -> str:
        result = f"{name}/dequantized"
        if f"{name}/quantized" in self.constants:
            return result
        inputs = [
            self._constant(f"{name}/quantized", integers),
            self._constant(f"{name}/scale", scales.astype(np.float32)),
            self._constant(f"{name}/zero_point", np.zeros(len(scales), integers.dtype)),
        ]
        self.nodes.append(helper.make_node("DequantizeLinear", inputs, [result], name=f"{name}/dequantize", axis=axis))
        return result

    def _constant(self, name: str, value: np.ndarray) -> str:
        self.constants[name] = numpy_helper.from_array(value, name)
        return name
