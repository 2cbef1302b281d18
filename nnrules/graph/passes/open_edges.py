"""Inputs and outputs that are integers become real: the quantization of the edge stands in the model."""

import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")
INTEGERS = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
FLOAT = onnx.TensorProto.FLOAT


def run(body: Body) -> None:
    """An input of int8 or uint8 gets the QuantizeLinear of what dequantizes it first, an output a DequantizeLinear."""
    for value in body.inputs:
        if value.type.tensor_type.elem_type in INTEGERS:
            _open_input(body, value)
    for value in body.outputs:
        maker = _maker(body, value.name)
        if maker is not None and maker.op_type == QUANTIZE:
            stored = body.fresh(f"{value.name}/quantized")
            body.rename(value.name, stored)
            body.nodes.append(body.make(DEQUANTIZE, [stored, *maker.input[1:]], value.name))
            value.type.tensor_type.elem_type = FLOAT
            body.index()


def _open_input(body: Body, value: onnx.ValueInfoProto) -> None:
    reader = _reader(body, value.name)
    if reader is None:
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        fault = f"is {kind}, and no DequantizeLinear says what its integers mean"
        raise UserError(f"{body.name}: input '{value.name}'", fault, "export the model with its scale and zero point")
    stored = body.fresh(f"{value.name}/quantized")
    body.redirect(value.name, stored)
    body.insert_after(None, body.make(QUANTIZE, [value.name, *reader.input[1:]], stored))
    value.type.tensor_type.elem_type = FLOAT


def _reader(body: Body, value: str) -> onnx.NodeProto | None:
    """The DequantizeLinear that reads a value, or reads it seen under another shape."""
    for node in body.users(value):
        found = node if node.op_type == DEQUANTIZE else None
        if node.op_type in VIEWS:
            found = _reader(body, node.output[0])
        if found is not None:
            return found
    return None


def _maker(body: Body, value: str) -> onnx.NodeProto | None:
    """The node that makes a value, views left out."""
    node = body.producer.get(value)
    while node is not None and node.op_type in VIEWS:
        node = body.producer.get(node.input[0])
    return node
