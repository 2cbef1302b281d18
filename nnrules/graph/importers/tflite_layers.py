"""TFLite's layers in ONNX: convolutions, dense layers, windows."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from nnrules.error import UserError
from nnrules.graph.importers.tflite_schema import TfliteOperator
from nnrules.graph.importers.tflite_writer import Writer


def conv_2d(writer: Writer, operator: TfliteOperator) -> None:
    """Weights OHWI."""
    _convolve(writer, operator, [0, 3, 1, 2], 1)


def depthwise_conv_2d(writer: Writer, operator: TfliteOperator) -> None:
    """Weights 1HWO; each input channel has the same number of outputs."""
    _convolve(writer, operator, [3, 0, 1, 2], math.prod(writer.tensor(operator, 0).shape[-1:]))


def _convolve(writer: Writer, operator: TfliteOperator, order: list[int], groups: int) -> None:
    x, w, options = writer.tensor(operator, 0), writer.tensor(operator, 1), writer.options(operator)
    if w.data is None or len(w.shape) != 4 or len(x.shape) != 4:
        raise UserError(
            writer.place(operator), "its weights are not four-dimensional constants", "export the model again"
        )
    weights = writer.stored(w, w.data.transpose(order), 0)
    kernel = (w.shape[1], w.shape[2])
    stride, dilation = (
        (options.StrideH(), options.StrideW()),
        (options.DilationHFactor(), options.DilationWFactor()),
    )
    if min(*stride, *dilation) < 1:
        raise UserError(writer.place(operator), f"has strides {stride} and dilations {dilation}", "export it again")
    if groups == 1 and w.shape[3] and x.shape[3] % w.shape[3] == 0:
        groups = max(1, x.shape[3] // w.shape[3])
    pads = _pads(options.Padding(), x.shape[1:3], kernel, stride, dilation)
    inputs = [writer.images(operator), weights, *_bias(writer, operator, 2)]
    attributes = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": pads, "group": groups}
    real = writer.real(operator, "Conv", inputs, **attributes)
    writer.finish(operator, real, options.FusedActivationFunction(), nchw=True)


def transpose_conv(writer: Writer, operator: TfliteOperator) -> None:
    """Inputs: output shape, weights OHWI, x, bias."""
    w, x, y = writer.tensor(operator, 1), writer.tensor(operator, 2), writer.output(operator)
    options = writer.options(operator)
    if w.data is None or len(w.shape) != 4 or len(x.shape) != 4 or len(y.shape) != 4:
        raise UserError(
            writer.place(operator), "its weights are not four-dimensional constants", "export the model again"
        )
    stride, kernel = (options.StrideH(), options.StrideW()), (w.shape[1], w.shape[2])
    over = [stride[a] * (x.shape[1 + a] - 1) + kernel[a] - y.shape[1 + a] for a in (0, 1)]
    begin = [max(0, each) // 2 for each in over]
    end = [max(0, each) - b for each, b in zip(over, begin, strict=True)]
    extra = [max(0, -each) for each in over]
    weights = writer.stored(w, w.data.transpose([3, 0, 1, 2]), 1)
    inputs = [writer.images(operator, 2), weights, *_bias(writer, operator, 3)]
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": [*begin, *end], "output_padding": extra}
    activation = options.FusedActivationFunction() if hasattr(options, "FusedActivationFunction") else 0
    writer.finish(operator, writer.real(operator, "ConvTranspose", inputs, **attributes), activation, nchw=True)


def fully_connected(writer: Writer, operator: TfliteOperator) -> None:
    """Weights (out, in); the input is seen as rows."""
    x, w, y = writer.tensor(operator, 0), writer.tensor(operator, 1), writer.output(operator)
    options = writer.options(operator)
    if w.data is None or len(w.shape) != 2 or options.WeightsFormat():
        raise UserError(writer.place(operator), "its weights are not a constant matrix", "export the model again")
    rows = int(np.prod(x.shape, dtype=np.int64)) // max(w.shape[1], 1)
    if rows == 1:
        flat = writer.shaped(writer.value(operator, 0), x, (1, w.shape[1]))
        real = writer.real(operator, "Gemm", [flat, writer.stored(w, w.data, 0), *_bias(writer, operator, 2)], transB=1)
    else:
        flat = writer.shaped(writer.value(operator, 0), x, (1, rows, w.shape[1]))
        real = writer.real(operator, "MatMul", [flat, writer.stored(w, w.data.T, 1)])
        if bias := _bias(writer, operator, 2):
            real = writer.real(operator, "Add", [real, *bias])
    writer.finish(operator, real, options.FusedActivationFunction())
    index = operator.outputs[0]
    if rows != 1 or y.shape != (1, w.shape[0]):
        writer.values[index] = writer.shaped(writer.values[index], y)


def average_pool_2d(writer: Writer, operator: TfliteOperator) -> None:
    """Padding does not count."""
    _pool(writer, operator, "AveragePool")


def max_pool_2d(writer: Writer, operator: TfliteOperator) -> None:
    """Padding never wins."""
    _pool(writer, operator, "MaxPool")


def _pool(writer: Writer, operator: TfliteOperator, op_type: str) -> None:
    x, options = writer.tensor(operator, 0), writer.options(operator)
    kernel, stride = (options.FilterHeight(), options.FilterWidth()), (options.StrideH(), options.StrideW())
    if min(*stride, *kernel) < 1 or len(x.shape) != 4:
        raise UserError(writer.place(operator), f"has strides {stride} and kernel {kernel}", "export the model again")
    pads = _pads(options.Padding(), x.shape[1:3], kernel, stride, (1, 1))
    real = writer.real(operator, op_type, [writer.images(operator)], kernel_shape=kernel, strides=stride, pads=pads)
    writer.finish(operator, real, options.FusedActivationFunction(), nchw=True)


def _bias(writer: Writer, operator: TfliteOperator, position: int) -> list[str]:
    """The bias, where there is one."""
    if position >= len(operator.inputs) or operator.inputs[position] < 0:
        return []
    tensor = writer.tensor(operator, position)
    if tensor.data is None:
        raise UserError(
            writer.place(operator), "its bias is not a constant of finite numbers", "export the model again"
        )
    return [writer.stored(tensor, tensor.data.reshape(-1), 0)]


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


LAYERS: Mapping[str, Callable[[Writer, TfliteOperator], None]] = {
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "TRANSPOSE_CONV": transpose_conv,
    "FULLY_CONNECTED": fully_connected,
    "AVERAGE_POOL_2D": average_pool_2d,
    "MAX_POOL_2D": max_pool_2d,
}
