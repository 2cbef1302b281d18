"""A QDQ ONNX model in the making, out of a TFLite model's operators, one after the other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE
from nnrules.graph.importers.tflite_schema import TfliteModel, TfliteOperator, TfliteTensor

OPSET = 20
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
ACTIVATIONS: dict[int, tuple[float, float] | None] = {0: None, 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


class Writer:
    """`values`: the ONNX value, real and in TFLite's order of axes, of each tensor that was made so far."""

    def __init__(self, source: TfliteModel, name: str) -> None:
        self.source, self.name = source, name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.values: dict[int, str] = {}
        self._taken: set[str] = set()
        self.inputs = []
        for i in source.inputs:
            tensor = source.tensors[i]
            self.inputs.append(helper.make_tensor_value_info(tensor.name, onnx.TensorProto.FLOAT, tensor.shape))
            self.values[i] = self.pair(tensor.name, tensor, f"{tensor.name}/dequantized")

    def model(self) -> onnx.ModelProto:
        """All that was written."""
        outputs = []
        for i in self.source.outputs:
            tensor = self.source.tensors[i]
            if i not in self.values:
                raise UserError(f"{self.name}: output '{tensor.name}'", "is made by nothing", "export the model again")
            if self.values[i] != tensor.name:
                self.nodes.append(helper.make_node("Identity", [self.values[i]], [tensor.name], name=tensor.name))
            kind = onnx.TensorProto.INT64 if tensor.dtype in (np.int32, np.int64) else onnx.TensorProto.FLOAT
            outputs.append(helper.make_tensor_value_info(tensor.name, kind, None))
        constants = [
            numpy_helper.from_array(np.ascontiguousarray(v).reshape(v.shape), k) for k, v in self.constants.items()
        ]
        body = helper.make_graph(self.nodes, "model", self.inputs, outputs, constants)
        return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)

    def place(self, operator: TfliteOperator) -> str:
        """How messages name an operator."""
        made = self.source.tensors[operator.outputs[0]].name if operator.outputs else str(operator.index)
        return f"{self.name}: node '{made}' ({operator.kind})"

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node; its output."""
        self.append(op_type, inputs, [output], output, **attributes)
        return output

    def append(self, op_type: str, inputs: list[str], outputs: Sequence[str], name: str, **attributes: Any) -> None:
        """Append a node with any number of outputs, and a name of its own."""
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name=name, **attributes))
        self._taken.update(outputs)

    def constant(self, name: str, value: Any) -> str:
        """Enter an array; its name."""
        name = self.fresh(name)
        self.constants[name] = np.asarray(value)
        self._taken.add(name)
        return name

    def tensor(self, operator: TfliteOperator, position: int) -> TfliteTensor:
        """An input of an operator. Raises UserError where it is left out."""
        if position >= len(operator.inputs) or operator.inputs[position] < 0:
            raise UserError(self.place(operator), f"has no input {position}", "export the model again")
        return self.source.tensors[operator.inputs[position]]

    def output(self, operator: TfliteOperator) -> TfliteTensor:
        """The one output of an operator."""
        if len(operator.outputs) != 1:
            raise UserError(self.place(operator), f"has {len(operator.outputs)} outputs", "export the model again")
        return self.source.tensors[operator.outputs[0]]

    def value(self, operator: TfliteOperator, position: int) -> str:
        """The real ONNX value of an input, in TFLite's order; constants are dequantized as they are stored."""
        tensor, index = self.tensor(operator, position), operator.inputs[position]
        if tensor.data is not None and index not in self.values:
            self.values[index] = self.stored(tensor, tensor.data, tensor.axis)
        if index not in self.values:
            raise UserError(
                self.place(operator), f"reads '{tensor.name}', which nothing makes", "export the model again"
            )
        return self.values[index]

    def integers(self, operator: TfliteOperator, position: int) -> list[int]:
        """An input of constant integers, like the axes of a reduction."""
        tensor = self.tensor(operator, position)
        if tensor.data is None or tensor.data.dtype.kind not in "iu":
            raise UserError(
                self.place(operator), f"its input '{tensor.name}' is not constant", "export the model again"
            )
        return [int(each) for each in tensor.data.reshape(-1)]

    def stored(self, tensor: TfliteTensor, values: np.ndarray, axis: int) -> str:
        """A constant, as real numbers: `values` in another order of axes, `axis` that of the scales."""
        if values.dtype.kind == "f":
            return self.constant(f"{tensor.name}/real", values.astype(np.float32))
        if not len(tensor.scales):
            raise UserError(f"{self.name}: tensor '{tensor.name}'", "has no scale", "export the model again")
        several = len(tensor.scales) > 1
        kind = values.dtype if values.dtype in (np.int8, np.uint8, np.int32) else np.dtype(np.int32)
        names = [
            self.constant(f"{tensor.name}/quantized", values.astype(kind)),
            self.constant(f"{tensor.name}/scale", tensor.scales if several else tensor.scales[0]),
            self.constant(f"{tensor.name}/zero_point", (tensor.points if several else tensor.points[0]).astype(kind)),
        ]
        return self.node(
            DEQUANTIZE, names, self.fresh(f"{tensor.name}/dequantized"), **({"axis": axis} if several else {})
        )

    def pair(self, real: str, tensor: TfliteTensor, result: str) -> str:
        """QuantizeLinear and DequantizeLinear with a tensor's parameters; nothing for a real tensor."""
        if tensor.dtype.kind == "f":
            return real
        place = f"{self.name}: tensor '{tensor.name}'"
        if tensor.dtype not in (np.int8, np.uint8):
            raise UserError(place, f"is {tensor.dtype}", "only int8, uint8 and float32 activations are supported")
        if len(tensor.scales) != 1:
            raise UserError(place, f"has {len(tensor.scales)} scales", "quantize activations per tensor")
        limits = np.iinfo(tensor.dtype)
        if not limits.min <= tensor.points[0] <= limits.max:
            raise UserError(place, f"has the zero point {tensor.points[0]}", f"{tensor.dtype} holds no such value")
        edge = [
            self.constant(f"{tensor.name}/scale", tensor.scales[0]),
            self.constant(f"{tensor.name}/zero_point", tensor.points[0].astype(tensor.dtype)),
        ]
        stored = self.node(QUANTIZE, [real, *edge], self.fresh(f"{tensor.name}/quantized"))
        return self.node(DEQUANTIZE, [stored, *edge], self.fresh(result))

    def finish(self, operator: TfliteOperator, real: str, activation: int = 0, nchw: bool = False) -> None:
        """A fused activation, the output's quantization, and its order of axes. The value gets the tensor's name."""
        tensor = self.output(operator)
        if activation not in ACTIVATIONS:
            raise UserError(self.place(operator), f"has the fused activation {activation}", "leave it out of the model")
        bounds = ACTIVATIONS[activation]
        if activation == 1:
            real = self.node("Relu", [real], self.fresh(f"{tensor.name}/relu"))
        elif bounds is not None:
            ends = [
                self.constant(f"{tensor.name}/{side}", np.float32(v))
                for side, v in zip(("low", "high"), bounds, strict=True)
            ]
            real = self.node("Clip", [real, *ends], self.fresh(f"{tensor.name}/clip"))
        value = self.pair(real, tensor, f"{tensor.name}/dequantized")
        if nchw:
            value = self.node("Transpose", [value], self.fresh(f"{tensor.name}/nhwc"), perm=TO_NHWC)
        self.values[operator.outputs[0]] = value

    def images(self, operator: TfliteOperator, position: int = 0) -> str:
        """An input as NCHW."""
        tensor = self.tensor(operator, position)
        if len(tensor.shape) != 4:
            raise UserError(self.place(operator), f"its input has shape {tensor.shape}", "only 4 axes are supported")
        value = self.value(operator, position)
        return self.node("Transpose", [value], self.fresh(f"{tensor.name}/nchw"), perm=TO_NCHW)

    def shaped(self, value: str, tensor: TfliteTensor, shape: tuple[int, ...] | None = None) -> str:
        """A value seen under a tensor's shape."""
        target = self.constant(f"{tensor.name}/shape", np.array(tensor.shape if shape is None else shape, np.int64))
        return self.node("Reshape", [value, target], self.fresh(f"{tensor.name}/reshaped"))

    def fresh(self, name: str) -> str:
        """A name that no value has yet."""
        while name in self._taken:
            name += "."
        return name

    def real(self, operator: TfliteOperator, op_type: str, inputs: list[str], **attributes: Any) -> str:
        """Append the node that an operator is, named like it; its real result, before it is quantized."""
        name = self.output(operator).name
        result = self.fresh(f"{name}/real")
        self.append(op_type, inputs, [result], name, **attributes)
        return result

    def options(self, operator: TfliteOperator) -> Any:
        """The schema's record of an operator's options. Raises UserError where it has none."""
        if operator.options is None:
            raise UserError(self.place(operator), "has no options", "export the model again")
        return operator.options
