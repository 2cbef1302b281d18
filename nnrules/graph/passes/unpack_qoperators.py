"""The operator format of onnxruntime.quantization (QLinearConv, QGemm, QLinearAdd, ...) -> DequantizeLinear, the real
operator, QuantizeLinear."""

from collections.abc import Sequence

import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, MICROSOFT, QUANTIZE, Body

UNARY = {
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearAveragePool": "AveragePool",
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSoftmax": "Softmax",
    "QLinearReduceMean": "ReduceMean",
}
BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
OWN = ("opset", "channels_last")  # attributes that say how, where the real operator has no choice


def run(body: Body) -> None:
    """Every operator of the format becomes three or more; what is left of its domain is refused as unknown."""
    for node in list(body.nodes):
        if node.op_type in (QUANTIZE, DEQUANTIZE, "Gelu") and node.domain == MICROSOFT:
            node.domain = ""
        elif node.op_type == "QLinearConv":
            _convolution(body, node)
        elif node.op_type == "QLinearMatMul":
            _product(body, node, "MatMul", node.input[6:8])
        elif node.op_type == "QGemm":
            _product(body, node, "Gemm", node.input[7:9])
        elif node.op_type in BINARY:
            terms = [_real(body, node, 0, 0), _real(body, node, 3, 0)]
            _finish(body, node, BINARY[node.op_type], terms, node.input[6:8])
        elif node.op_type in UNARY:
            if body.attribute(node, "channels_last", 0):
                raise UserError(body.place(node), "works on channels last", "quantize the model in its NCHW form")
            _finish(body, node, UNARY[node.op_type], [_real(body, node, 0, 0)], node.input[3:5])
        elif node.op_type == "QLinearConcat":
            parts = [_real(body, node, i, 0) for i in range(2, len(node.input), 3)]
            _finish(body, node, "Concat", parts, node.input[:2])
        elif node.op_type in ("ConvInteger", "MatMulInteger"):
            fault = "computes integers whose scale is known at run time only"
            raise UserError(body.place(node), fault, "quantize the model statically, with calibration data")


def _real(body: Body, node: onnx.NodeProto, position: int, axis: int) -> str:
    """A DequantizeLinear of the input at a position, its scale and zero point being the next two."""
    name = body.fresh(f"{node.output[0]}/{position}/dequantized")
    inputs = [each for each in node.input[position : position + 3] if each]
    body.nodes.insert(_index(body, node), body.make(DEQUANTIZE, inputs, name, axis=axis))
    body.index()
    return name


def _convolution(body: Body, node: onnx.NodeProto) -> None:
    inputs = [_real(body, node, 0, 0), _real(body, node, 3, 0)]
    if body.input(node, 8):
        inputs.append(_bias(body, node, node.input[8], node.input[1], node.input[4]))
    _finish(body, node, "Conv", inputs, node.input[6:8])


def _product(body: Body, node: onnx.NodeProto, op_type: str, edge: Sequence[str]) -> None:
    axis = 0 if body.attribute(node, "transB", 0) else 1
    inputs = [_real(body, node, 0, 0), _real(body, node, 3, axis)]
    if op_type == "Gemm" and body.input(node, 6):
        inputs.append(_bias(body, node, node.input[6], node.input[1], node.input[4]))
    if len(edge) < 2 or not edge[0]:
        raise UserError(body.place(node), "has an output that is not quantized", "quantize the model's outputs too")
    _finish(body, node, op_type, inputs, edge)


def _bias(body: Body, node: onnx.NodeProto, value: str, x_scale: str, w_scale: str) -> str:
    """A bias at the scale x times w, which must be known."""
    first, second = body.constant(x_scale), body.constant(w_scale)
    if first is None or second is None:
        raise UserError(body.place(node), "its scales are not constant", "quantize the model statically")
    scale = body.add_constant(
        f"{node.output[0]}/bias/scale", (first.reshape(-1)[:1] * second.reshape(-1)).astype("float32")
    )
    if body.constants[scale].size == 1:
        body.constants[scale] = body.constants[scale].reshape(())
    name = body.fresh(f"{node.output[0]}/bias")
    body.nodes.insert(_index(body, node), body.make(DEQUANTIZE, [value, scale], name, axis=0))
    body.index()
    return name


def _finish(body: Body, node: onnx.NodeProto, op_type: str, inputs: list[str], edge: Sequence[str]) -> None:
    """The real operator and the QuantizeLinear of its output in the place of the node."""
    real = body.fresh(f"{node.output[0]}/real")
    operator = onnx.helper.make_node(op_type, inputs, [real], name=node.name or node.output[0])
    operator.attribute.extend(each for each in node.attribute if each.name not in OWN)
    body.replace(node, [operator, body.make(QUANTIZE, [real, *(each for each in edge if each)], node.output[0])])


def _index(body: Body, node: onnx.NodeProto) -> int:
    return next(i for i, each in enumerate(body.nodes) if each is node)
