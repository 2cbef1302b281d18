"""The operators of TFLite as ONNX nodes: each has a method of its name, in small letters, on Writer."""

import struct
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE
from nnrules.graph.importers.tflite_file import TfliteModel, TfliteOperator, TfliteTensor

OPSET = 18
TO_NCHW, TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]
ACTIVATIONS: dict[int, tuple[float, float] | None] = {0: None, 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
UNARY = {
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "RELU": "Relu", "HARD_SWISH": "HardSwish", "ELU": "Elu", "ABS": "Abs",
    "NEG": "Neg", "EXP": "Exp", "SQRT": "Sqrt",
}  # fmt: skip
BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min"}
REDUCTIONS = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}


def written(model: TfliteModel, name: str) -> onnx.ModelProto:
    """The model in ONNX. Raises UserError that names the first operator that is not supported."""
    writer = Writer(model, name)
    for operator in model.operators:
        writer.operator(operator)
    return writer.model()


class Writer:
    """`values`: the ONNX value, real and in TFLite's order of axes, of each tensor that was made so far."""

    def __init__(self, source: TfliteModel, name: str) -> None:
        self.source, self.name = source, name
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.values: dict[int, str] = {}
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

    def operator(self, operator: TfliteOperator) -> None:
        """Write one operator. Raises UserError for one that is not supported, or whose options are damaged."""
        try:
            self._operator(operator)
        except struct.error:  # the options are read from the file here
            raise UserError(self.place(operator), "its options are damaged", "export the model again") from None

    def _operator(self, operator: TfliteOperator) -> None:
        for kinds, method in ((UNARY, self._unary), (BINARY, self._binary), (REDUCTIONS, self._reduce)):
            if operator.kind in kinds:
                method(operator, kinds[operator.kind])
                return
        method_of_its_name = getattr(self, operator.kind.lower(), None)
        if method_of_its_name is None or operator.kind.lower() in ("operator", "model", "pair", "node", "constant"):
            raise UserError(self.place(operator), "is not supported", "leave it out of the model")
        method_of_its_name(operator)

    # What the operators are written with.

    def place(self, operator: TfliteOperator) -> str:
        """How messages name an operator."""
        made = self.source.tensors[operator.outputs[0]].name if operator.outputs else str(operator.index)
        return f"{self.name}: node '{made}' ({operator.kind})"

    def node(self, op_type: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append a node; its output."""
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: Any) -> str:
        """Enter an array; its name."""
        while name in self.constants:
            name += "."
        self.constants[name] = np.asarray(value)
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
            DEQUANTIZE, names, self._fresh(f"{tensor.name}/dequantized"), **({"axis": axis} if several else {})
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
        stored = self.node(QUANTIZE, [real, *edge], self._fresh(f"{tensor.name}/quantized"))
        return self.node(DEQUANTIZE, [stored, *edge], self._fresh(result))

    def finish(self, operator: TfliteOperator, real: str, activation: int = 0, nchw: bool = False) -> None:
        """A fused activation, the output's quantization, and its order of axes. The value gets the tensor's name."""
        tensor = self.output(operator)
        if activation not in ACTIVATIONS:
            raise UserError(self.place(operator), f"has the fused activation {activation}", "leave it out of the model")
        bounds = ACTIVATIONS[activation]
        if activation == 1:
            real = self.node("Relu", [real], self._fresh(f"{tensor.name}/relu"))
        elif bounds is not None:
            ends = [
                self.constant(f"{tensor.name}/{side}", np.float32(v))
                for side, v in zip(("low", "high"), bounds, strict=True)
            ]
            real = self.node("Clip", [real, *ends], self._fresh(f"{tensor.name}/clip"))
        value = self.pair(real, tensor, f"{tensor.name}/dequantized")
        if nchw:
            value = self.node("Transpose", [value], self._fresh(f"{tensor.name}/nhwc"), perm=TO_NHWC)
        self.values[operator.outputs[0]] = value

    def images(self, operator: TfliteOperator, position: int = 0) -> str:
        """An input as NCHW."""
        tensor = self.tensor(operator, position)
        if len(tensor.shape) != 4:
            raise UserError(self.place(operator), f"its input has shape {tensor.shape}", "only 4 axes are supported")
        value = self.value(operator, position)
        return self.node("Transpose", [value], self._fresh(f"{tensor.name}/nchw"), perm=TO_NCHW)

    def shaped(self, value: str, tensor: TfliteTensor, shape: tuple[int, ...] | None = None) -> str:
        """A value seen under a tensor's shape."""
        target = self.constant(f"{tensor.name}/shape", np.array(tensor.shape if shape is None else shape, np.int64))
        return self.node("Reshape", [value, target], self._fresh(f"{tensor.name}/reshaped"))

    def _fresh(self, name: str) -> str:
        taken = {value for each in self.nodes for value in each.output} | set(self.constants)
        while name in taken:
            name += "."
        return name

    # The operators.

    def _unary(self, operator: TfliteOperator, op_type: str) -> None:
        self.finish(operator, self._real(operator, op_type, [self.value(operator, 0)]))

    def _real(self, operator: TfliteOperator, op_type: str, inputs: list[str], **attributes: Any) -> str:
        """The real result of a node, before it is quantized."""
        name = self.output(operator).name
        result = self.node(op_type, inputs, self._fresh(f"{name}/real"), **attributes)
        self.nodes[-1].name = name
        return result

    def _binary(self, operator: TfliteOperator, op_type: str) -> None:
        inputs = [self.value(operator, 0), self.value(operator, 1)]
        activation = (
            operator.options.FusedActivationFunction()
            if op_type in ("Add", "Sub", "Mul", "Div") and operator.options
            else 0
        )
        self.finish(operator, self._real(operator, op_type, inputs), activation)

    def _reduce(self, operator: TfliteOperator, op_type: str) -> None:
        tensor = self.tensor(operator, 0)
        axes = sorted(each % max(len(tensor.shape), 1) for each in self.integers(operator, 1))
        keep = int(bool(operator.options and operator.options.KeepDims()))
        if op_type == "ReduceMean" and axes == [1, 2] and len(tensor.shape) == 4:
            pooled = self._real(operator, "GlobalAveragePool", [self.images(operator)])
            self.finish(operator, pooled, nchw=True)
            if not keep:
                index = operator.outputs[0]
                self.values[index] = self.shaped(self.values[index], self.output(operator))
            return
        named = self.constant(f"{tensor.name}/axes", np.array(axes, np.int64))
        self.finish(operator, self._real(operator, op_type, [self.value(operator, 0), named], keepdims=keep))

    def conv_2d(self, operator: TfliteOperator) -> None:
        """Weights OHWI."""
        self._convolve(operator, [0, 3, 1, 2], 1)

    def depthwise_conv_2d(self, operator: TfliteOperator) -> None:
        """Weights 1HWO; each input channel has the same number of outputs."""
        self._convolve(operator, [3, 0, 1, 2], self.tensor(operator, 0).shape[-1])

    def _convolve(self, operator: TfliteOperator, order: list[int], groups: int) -> None:
        x, w, options = self.tensor(operator, 0), self.tensor(operator, 1), self._options(operator)
        if w.data is None or len(w.shape) != 4 or len(x.shape) != 4:
            raise UserError(
                self.place(operator), "its weights are not four-dimensional constants", "export the model again"
            )
        weights = self.stored(w, w.data.transpose(order), 0)
        kernel = (w.shape[1], w.shape[2])
        stride, dilation = (
            (options.StrideH(), options.StrideW()),
            (options.DilationHFactor(), options.DilationWFactor()),
        )
        if min(*stride, *dilation) < 1:
            raise UserError(self.place(operator), f"has strides {stride} and dilations {dilation}", "export it again")
        if groups == 1 and w.shape[3] and x.shape[3] % w.shape[3] == 0:
            groups = max(1, x.shape[3] // w.shape[3])
        pads = self._pads(options.Padding(), x.shape[1:3], kernel, stride, dilation)
        inputs = [self.images(operator), weights, *self._bias(operator, 2)]
        attributes = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads, "group": groups}
        real = self._real(operator, "Conv", inputs, **attributes)
        self.finish(operator, real, options.FusedActivationFunction(), nchw=True)

    def transpose_conv(self, operator: TfliteOperator) -> None:
        """Inputs: output shape, weights OHWI, x, bias."""
        w, x, options, y = (
            self.tensor(operator, 1),
            self.tensor(operator, 2),
            self._options(operator),
            self.output(operator),
        )
        if w.data is None or len(w.shape) != 4 or len(x.shape) != 4 or len(y.shape) != 4:
            raise UserError(
                self.place(operator), "its weights are not four-dimensional constants", "export the model again"
            )
        stride, kernel = (options.StrideH(), options.StrideW()), (w.shape[1], w.shape[2])
        over = [stride[a] * (x.shape[1 + a] - 1) + kernel[a] - y.shape[1 + a] for a in (0, 1)]
        begin = [max(0, each) // 2 for each in over]
        end = [max(0, each) - b for each, b in zip(over, begin, strict=True)]
        extra = [max(0, -each) for each in over]
        weights = self.stored(w, w.data.transpose([3, 0, 1, 2]), 1)
        inputs = [self.images(operator, 2), weights, *self._bias(operator, 3)]
        attributes = {"kernel_shape": kernel, "strides": stride, "pads": [*begin, *end], "output_padding": extra}
        activation = options.FusedActivationFunction() if hasattr(options, "FusedActivationFunction") else 0
        self.finish(operator, self._real(operator, "ConvTranspose", inputs, **attributes), activation, nchw=True)

    def fully_connected(self, operator: TfliteOperator) -> None:
        """Weights (out, in); the input is seen as rows."""
        x, w, options, y = (
            self.tensor(operator, 0),
            self.tensor(operator, 1),
            self._options(operator),
            self.output(operator),
        )
        if w.data is None or len(w.shape) != 2 or options.WeightsFormat():
            raise UserError(self.place(operator), "its weights are not a constant matrix", "export the model again")
        rows = int(np.prod(x.shape, dtype=np.int64)) // max(w.shape[1], 1)
        if rows == 1:
            flat = self.shaped(self.value(operator, 0), x, (1, w.shape[1]))
            real = self._real(operator, "Gemm", [flat, self.stored(w, w.data, 0), *self._bias(operator, 2)], transB=1)
        else:
            flat = self.shaped(self.value(operator, 0), x, (1, rows, w.shape[1]))
            real = self._real(operator, "MatMul", [flat, self.stored(w, w.data.T, 1)])
            if bias := self._bias(operator, 2):
                real = self._real(operator, "Add", [real, *bias])
        self.finish(operator, real, options.FusedActivationFunction())
        index = operator.outputs[0]
        if rows != 1 or y.shape != (1, w.shape[0]):
            self.values[index] = self.shaped(self.values[index], y)

    def average_pool_2d(self, operator: TfliteOperator) -> None:
        """Padding does not count."""
        self._pool(operator, "AveragePool")

    def max_pool_2d(self, operator: TfliteOperator) -> None:
        """Padding never wins."""
        self._pool(operator, "MaxPool")

    def _pool(self, operator: TfliteOperator, op_type: str) -> None:
        x, options = self.tensor(operator, 0), self._options(operator)
        kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
        if min(*stride, *kernel) < 1 or len(x.shape) != 4:
            raise UserError(self.place(operator), f"has strides {stride} and kernel {kernel}", "export the model again")
        pads = self._pads(options.Padding(), x.shape[1:3], kernel, stride, (1, 1))
        real = self._real(operator, op_type, [self.images(operator)], kernel_shape=kernel, strides=stride, pads=pads)
        self.finish(operator, real, options.FusedActivationFunction(), nchw=True)

    def reshape(self, operator: TfliteOperator) -> None:
        """To the shape that the output tensor has."""
        self.finish(operator, self.shaped(self.value(operator, 0), self.output(operator)))

    squeeze = expand_dims = reshape

    def transpose(self, operator: TfliteOperator) -> None:
        """By a constant permutation."""
        self.finish(
            operator, self._real(operator, "Transpose", [self.value(operator, 0)], perm=self.integers(operator, 1))
        )

    def quantize(self, operator: TfliteOperator) -> None:
        """Real or quantized otherwise -> the output's quantization."""
        self.finish(operator, self.value(operator, 0))

    def dequantize(self, operator: TfliteOperator) -> None:
        """The values are real already."""
        self.values[operator.outputs[0]] = self.value(operator, 0)

    def softmax(self, operator: TfliteOperator) -> None:
        """Over the last axis."""
        beta = self._options(operator).Beta()
        if beta != 1.0:
            raise UserError(self.place(operator), f"has beta {beta:g}", "only 1 is supported")
        self.finish(operator, self._real(operator, "Softmax", [self.value(operator, 0)], axis=-1))

    def relu6(self, operator: TfliteOperator) -> None:
        """Clip to 0..6."""
        self.finish(operator, self.value(operator, 0), 3)

    def relu_n1_to_1(self, operator: TfliteOperator) -> None:
        """Clip to -1..1."""
        self.finish(operator, self.value(operator, 0), 2)

    def leaky_relu(self, operator: TfliteOperator) -> None:
        """One slope for all."""
        alpha = float(self._options(operator).Alpha())
        self.finish(operator, self._real(operator, "LeakyRelu", [self.value(operator, 0)], alpha=alpha))

    def prelu(self, operator: TfliteOperator) -> None:
        """A slope for each channel."""
        self.finish(operator, self._real(operator, "PRelu", [self.value(operator, 0), self.value(operator, 1)]))

    def pad(self, operator: TfliteOperator) -> None:
        """With zeros."""
        self._pad(operator, "constant")

    padv2 = pad

    def mirror_pad(self, operator: TfliteOperator) -> None:
        """REFLECT; SYMMETRIC repeats the border and is refused."""
        if self._options(operator).Mode() != 0:
            raise UserError(self.place(operator), "pads symmetrically", "use REFLECT")
        self._pad(operator, "reflect")

    def _pad(self, operator: TfliteOperator, mode: str) -> None:
        amounts = np.array(self.integers(operator, 1), np.int64).reshape(-1, 2)
        images = len(amounts) == 4
        amounts = amounts[TO_NCHW] if images else amounts
        pads = self.constant(f"{self.output(operator).name}/pads", amounts.T.reshape(-1))
        inputs = [self.images(operator) if images else self.value(operator, 0), pads]
        if operator.kind == "PADV2":
            filler = self.tensor(operator, 2)
            if filler.data is None or filler.data.size != 1:
                raise UserError(
                    self.place(operator), "is filled with what is no constant", "only constants are supported"
                )
            scale, point = (filler.scales[0], filler.points[0]) if len(filler.scales) else (1.0, 0)
            real = np.float32((float(filler.data.reshape(-1)[0]) - float(point)) * float(scale))
            inputs.append(self.constant(f"{self.output(operator).name}/filler", real))
        self.finish(operator, self._real(operator, "Pad", inputs, mode=mode), nchw=images)

    def concatenation(self, operator: TfliteOperator) -> None:
        """Along one axis."""
        options, count = self._options(operator), len(operator.inputs)
        images = len(self.output(operator).shape) == 4
        values = [self.images(operator, i) if images else self.value(operator, i) for i in range(count)]
        axis = TO_NHWC[options.Axis() % 4] if images else options.Axis()
        real = self._real(operator, "Concat", values, axis=axis)
        self.finish(operator, real, options.FusedActivationFunction(), nchw=images)

    def split(self, operator: TfliteOperator) -> None:
        """Inputs: axis, x; equal parts."""
        (axis,) = self.integers(operator, 0)
        self._split(operator, self.value(operator, 1), axis)

    def split_v(self, operator: TfliteOperator) -> None:
        """Inputs: x, lengths, axis."""
        (axis,) = self.integers(operator, 2)
        self._split(operator, self.value(operator, 0), axis)

    def _split(self, operator: TfliteOperator, value: str, axis: int) -> None:
        parts = [self.source.tensors[i] for i in operator.outputs]
        if any(not -len(part.shape) <= axis < len(part.shape) for part in parts):
            raise UserError(self.place(operator), f"splits along axis {axis}", "export the model again")
        lengths = self.constant(f"{parts[0].name}/lengths", np.array([part.shape[axis] for part in parts], np.int64))
        names = [self._fresh(f"{part.name}/real") for part in parts]
        self.nodes.append(helper.make_node("Split", [value, lengths], names, name=parts[0].name, axis=axis))
        for index, part, real in zip(operator.outputs, parts, names, strict=True):
            self.values[index] = self.pair(real, part, f"{part.name}/dequantized")

    def slice(self, operator: TfliteOperator) -> None:
        """Inputs: x, begin, size."""
        begin, size, shape = self.integers(operator, 1), self.integers(operator, 2), self.tensor(operator, 0).shape
        ends = [n if s < 0 else b + s for b, s, n in zip(begin, size, shape, strict=False)]
        self._slice(operator, begin, ends, [1] * len(begin))

    def strided_slice(self, operator: TfliteOperator) -> None:
        """Inputs: x, begin, end, strides; masks for open ends and dropped axes."""
        options, shape = self._options(operator), self.tensor(operator, 0).shape
        begin, end, steps = (self.integers(operator, i) for i in (1, 2, 3))
        if (
            options.EllipsisMask()
            or options.NewAxisMask()
            or not len(begin) == len(end) == len(steps) <= len(shape)
            or 0 in steps
        ):
            raise UserError(self.place(operator), "has an ellipsis, a new axis or no steps", "use plain slices")
        for i, step in enumerate(steps):
            if options.ShrinkAxisMask() >> i & 1:
                end[i] = begin[i] + 1 if begin[i] != -1 else 2**31 - 1
                continue
            begin[i] = (0 if step > 0 else 2**31 - 1) if options.BeginMask() >> i & 1 else begin[i]
            end[i] = (2**31 - 1 if step > 0 else -(2**31)) if options.EndMask() >> i & 1 else end[i]
        self._slice(operator, begin, end, steps)

    def _slice(self, operator: TfliteOperator, begin: list[int], end: list[int], steps: list[int]) -> None:
        y = self.output(operator)
        images = len(self.tensor(operator, 0).shape) == 4
        axes = [TO_NHWC[i] if images else i for i in range(len(begin))]
        columns = {"begin": begin, "end": end, "axes": axes, "steps": steps}
        inputs = [self.constant(f"{y.name}/{name}", np.array(column, np.int64)) for name, column in columns.items()]
        value = self.images(operator) if images else self.value(operator, 0)
        self.finish(operator, self._real(operator, "Slice", [value, *inputs]), nchw=images)
        index = operator.outputs[0]
        if len(y.shape) != len(self.tensor(operator, 0).shape):
            self.values[index] = self.shaped(self.values[index], y)

    def depth_to_space(self, operator: TfliteOperator) -> None:
        """As ONNX's DCR."""
        size = self._options(operator).BlockSize()
        real = self._real(operator, "DepthToSpace", [self.images(operator)], blocksize=size, mode="DCR")
        self.finish(operator, real, nchw=True)

    def space_to_depth(self, operator: TfliteOperator) -> None:
        """Blocks to channels."""
        size = self._options(operator).BlockSize()
        self.finish(operator, self._real(operator, "SpaceToDepth", [self.images(operator)], blocksize=size), nchw=True)

    def resize_bilinear(self, operator: TfliteOperator) -> None:
        """To the size of the output tensor."""
        self._resize(operator, "linear")

    def resize_nearest_neighbor(self, operator: TfliteOperator) -> None:
        """To the size of the output tensor."""
        self._resize(operator, "nearest")

    def _resize(self, operator: TfliteOperator, mode: str) -> None:
        options, y = self._options(operator), self.output(operator)
        centres = "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        if options.AlignCorners():
            centres = "align_corners"
        if len(y.shape) != 4:
            raise UserError(self.place(operator), f"its output has shape {y.shape}", "only 4 axes are supported")
        sizes = np.array([y.shape[0], y.shape[3], y.shape[1], y.shape[2]], np.int64)
        extra = (
            {"nearest_mode": "round_prefer_ceil" if options.AlignCorners() else "floor"} if mode == "nearest" else {}
        )
        inputs = [self.images(operator), "", "", self.constant(f"{y.name}/sizes", sizes)]
        attributes = {"mode": mode, "coordinate_transformation_mode": centres, **extra}
        self.finish(operator, self._real(operator, "Resize", inputs, **attributes), nchw=True)

    def arg_max(self, operator: TfliteOperator) -> None:
        """Along a constant axis; the output is integers without a scale."""
        (axis,) = self.integers(operator, 1)
        real = self._real(operator, "ArgMax", [self.value(operator, 0)], axis=axis, keepdims=0)
        self.values[operator.outputs[0]] = real

    def _options(self, operator: TfliteOperator) -> Any:
        if operator.options is None:
            raise UserError(self.place(operator), "has no options", "export the model again")
        return operator.options

    def _bias(self, operator: TfliteOperator, position: int) -> list[str]:
        """The bias, where there is one."""
        if position >= len(operator.inputs) or operator.inputs[position] < 0:
            return []
        tensor = self.tensor(operator, position)
        if tensor.data is None:
            raise UserError(
                self.place(operator), "its bias is not a constant of finite numbers", "export the model again"
            )
        return [self.stored(tensor, tensor.data.reshape(-1), 0)]

    @staticmethod
    def _pads(
        padding: int,
        image: tuple[int, ...],
        kernel: tuple[int, int],
        stride: tuple[int, int],
        dilation: tuple[int, int],
    ) -> list[int]:
        """ONNX pads of SAME (0), where the odd one is behind, and of VALID (1)."""
        if padding != 0:
            return [0, 0, 0, 0]
        totals = [
            max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
            for n, k, s, d in zip(image, kernel, stride, dilation, strict=True)
        ]
        return [totals[0] // 2, totals[1] // 2, totals[0] - totals[0] // 2, totals[1] - totals[1] // 2]
