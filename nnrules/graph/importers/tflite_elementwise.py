"""TFLite's operators on single values, and those that make one of several, in ONNX."""

from collections.abc import Callable, Mapping

import numpy as np

from nnrules.error import UserError
from nnrules.graph.importers.tflite_schema import TfliteOperator
from nnrules.graph.importers.tflite_writer import Writer

UNARY = {
    "LOGISTIC": "Sigmoid", "TANH": "Tanh", "RELU": "Relu", "HARD_SWISH": "HardSwish", "ELU": "Elu", "ABS": "Abs",
    "NEG": "Neg", "EXP": "Exp", "SQRT": "Sqrt", "LOG": "Log", "SIN": "Sin", "COS": "Cos", "FLOOR": "Floor",
}  # fmt: skip
BINARY = {"ADD": "Add", "SUB": "Sub", "MUL": "Mul", "DIV": "Div", "MAXIMUM": "Max", "MINIMUM": "Min"}
REDUCTIONS = {"MEAN": "ReduceMean", "SUM": "ReduceSum", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin"}


def unary(writer: Writer, operator: TfliteOperator) -> None:
    """One of UNARY."""
    writer.finish(operator, writer.real(operator, UNARY[operator.kind], [writer.value(operator, 0)]))


def gelu(writer: Writer, operator: TfliteOperator) -> None:
    """Exact, or by the hyperbolic tangent."""
    approximate = "tanh" if writer.options(operator).Approximate() else "none"
    writer.finish(operator, writer.real(operator, "Gelu", [writer.value(operator, 0)], approximate=approximate))


def binary(writer: Writer, operator: TfliteOperator) -> None:
    """One of BINARY; the inputs broadcast as in numpy."""
    op_type = BINARY[operator.kind]
    inputs = [writer.value(operator, 0), writer.value(operator, 1)]
    activation = (
        operator.options.FusedActivationFunction()
        if op_type in ("Add", "Sub", "Mul", "Div") and operator.options
        else 0
    )
    writer.finish(operator, writer.real(operator, op_type, inputs), activation)


def reduce(writer: Writer, operator: TfliteOperator) -> None:
    """One of REDUCTIONS, along constant axes."""
    op_type, tensor = REDUCTIONS[operator.kind], writer.tensor(operator, 0)
    axes = sorted(each % max(len(tensor.shape), 1) for each in writer.integers(operator, 1))
    keep = int(bool(operator.options and operator.options.KeepDims()))
    if op_type == "ReduceMean" and axes == [1, 2] and len(tensor.shape) == 4:
        pooled = writer.real(operator, "GlobalAveragePool", [writer.images(operator)])
        writer.finish(operator, pooled, nchw=True)
        if not keep:
            index = operator.outputs[0]
            writer.values[index] = writer.shaped(writer.values[index], writer.output(operator))
        return
    named = writer.constant(f"{tensor.name}/axes", np.array(axes, np.int64))
    writer.finish(operator, writer.real(operator, op_type, [writer.value(operator, 0), named], keepdims=keep))


def quantize(writer: Writer, operator: TfliteOperator) -> None:
    """Real or quantized otherwise -> the output's quantization."""
    writer.finish(operator, writer.value(operator, 0))


def dequantize(writer: Writer, operator: TfliteOperator) -> None:
    """The values are real already."""
    writer.values[operator.outputs[0]] = writer.value(operator, 0)


def softmax(writer: Writer, operator: TfliteOperator) -> None:
    """Over the last axis."""
    beta = writer.options(operator).Beta()
    if beta != 1.0:
        raise UserError(writer.place(operator), f"has beta {beta:g}", "only 1 is supported")
    writer.finish(operator, writer.real(operator, "Softmax", [writer.value(operator, 0)], axis=-1))


def relu6(writer: Writer, operator: TfliteOperator) -> None:
    """Clip to 0..6."""
    writer.finish(operator, writer.value(operator, 0), 3)


def relu_n1_to_1(writer: Writer, operator: TfliteOperator) -> None:
    """Clip to -1..1."""
    writer.finish(operator, writer.value(operator, 0), 2)


def leaky_relu(writer: Writer, operator: TfliteOperator) -> None:
    """One slope for all."""
    alpha = float(writer.options(operator).Alpha())
    writer.finish(operator, writer.real(operator, "LeakyRelu", [writer.value(operator, 0)], alpha=alpha))


def prelu(writer: Writer, operator: TfliteOperator) -> None:
    """A slope for each channel."""
    writer.finish(operator, writer.real(operator, "PRelu", [writer.value(operator, 0), writer.value(operator, 1)]))


def arg_max(writer: Writer, operator: TfliteOperator) -> None:
    """Along a constant axis; the output is integers without a scale."""
    (axis,) = writer.integers(operator, 1)
    real = writer.real(operator, "ArgMax", [writer.value(operator, 0)], axis=axis, keepdims=0)
    writer.values[operator.outputs[0]] = real


ELEMENTWISE: Mapping[str, Callable[[Writer, TfliteOperator], None]] = {
    **dict.fromkeys(UNARY, unary),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(REDUCTIONS, reduce),
    "GELU": gelu,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
    "SOFTMAX": softmax,
    "RELU6": relu6,
    "RELU_N1_TO_1": relu_n1_to_1,
    "LEAKY_RELU": leaky_relu,
    "PRELU": prelu,
    "ARG_MAX": arg_max,
}
