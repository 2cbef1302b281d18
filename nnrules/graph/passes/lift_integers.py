"""What moves or selects integers between QuantizeLinear and DequantizeLinear does so to real numbers instead."""

import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body

MOVING = ("MaxPool", "Slice", "Gather", "Split", "Concat", "Pad", "DepthToSpace", "SpaceToDepth", "Resize", "ReduceMax")
VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
INTEGERS = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)


def run(body: Body) -> None:
    """integers -> op becomes integers -> DQ -> op -> Q, with the scale and zero point that the integers have.

    Raises UserError where those are not known, or differ among the inputs of a Concat.
    """
    kinds = {name: kind for name, (_, kind) in body.shapes().items()}
    for node in list(body.nodes):
        if node.op_type in MOVING and kinds.get(node.input[0]) in INTEGERS and node.input[0] not in body.constants:
            count = len(node.input) if node.op_type == "Concat" else 1
            edges = [_edge(body, node, value) for value in node.input[:count]]
            if any(_content(body, each) != _content(body, edges[0]) for each in edges):
                raise UserError(
                    body.place(node), "joins integers of different scales", "let a DequantizeLinear precede it"
                )
            _lift(body, node, count, edges[0])


def _edge(body: Body, node: onnx.NodeProto, value: str) -> list[str]:
    """Scale and zero point of integers."""
    source = body.producer.get(value)
    while source is not None and source.op_type in (*VIEWS, *MOVING):
        source = body.producer.get(source.input[0])
    if source is None or source.op_type != QUANTIZE:
        raise UserError(
            body.place(node), f"reads '{value}', integers of unknown scale", "let a QuantizeLinear make them"
        )
    return list(source.input[1:])


def _content(body: Body, edge: list[str]) -> list[bytes]:
    return [body.constants[each].tobytes() if each in body.constants else each.encode() for each in edge]


def _lift(body: Body, node: onnx.NodeProto, count: int, edge: list[str]) -> None:
    before = []
    for i in range(count):
        real = body.fresh(f"{node.input[i]}/dequantized")
        before.append(body.make(DEQUANTIZE, [node.input[i], *edge], real))
        node.input[i] = real
        body.producer[real] = before[-1]
    if node.op_type == "Pad":
        _pad_value(body, node, edge)
    after = []
    for i, value in enumerate(node.output):
        real = body.fresh(f"{value}/real")
        node.output[i] = real
        after.append(body.make(QUANTIZE, [real, *edge], value))
    at = next(i for i, each in enumerate(body.nodes) if each is node)
    body.nodes[at : at + 1] = [*before, node, *after]
    body.index()


def _pad_value(body: Body, node: onnx.NodeProto, edge: list[str]) -> None:
    """The integer that is filled in as the real number that it stands for."""
    stored = body.constant(node.input[2]) if body.input(node, 2) else np.int8(0)
    scale, point = body.constant(edge[0]), body.constant(edge[1]) if len(edge) > 1 else np.uint8(0)
    if stored is None or scale is None or point is None:
        raise UserError(body.place(node), "is filled with what is no constant", "only constants are supported")
    integer, zero = (int(np.reshape(each, -1)[0]) for each in (stored, point))
    name = body.add_constant(f"{node.output[0]}/value", np.float32((integer - zero) * float(scale.reshape(-1)[0])))
    del node.input[2:3]
    node.input.insert(2, name)
