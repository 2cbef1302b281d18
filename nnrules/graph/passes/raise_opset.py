"""Operators written as opset 18 has them: what were attributes of older ones become constant inputs; inputs that are
left out at the end are not there."""

import math

import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import Body

OLDEST, FORM = 11, 18
AXES = ("Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")


def run(body: Body) -> None:
    """Raises UserError for an opset older than 11."""
    if body.opset < OLDEST:
        raise UserError(body.name, f"is of opset {body.opset}", f"export it with opset {OLDEST} or later")
    for node in list(body.nodes):
        while node.input and not node.input[-1]:
            del node.input[-1]
        if node.op_type in AXES:
            _attribute_to_input(body, node, "axes", 1)
        elif node.op_type == "Split" and body.opset < FORM:
            _split(body, node)
        elif node.op_type == "Softmax" and body.opset < 13:
            _old_softmax(body, node)
        elif node.op_type == "Dropout":
            _drop_attribute(node, "ratio")
            del node.input[1:]
            del node.output[1:]
        elif node.op_type == "BatchNormalization":
            for name in ("spatial", "momentum", "training_mode"):
                _drop_attribute(node, name)
            del node.output[1:]
    body.opset = max(body.opset, FORM)
    body.index()


def _attribute_to_input(body: Body, node: onnx.NodeProto, name: str, position: int) -> None:
    value = body.attribute(node, name)
    if value is None:
        return
    _drop_attribute(node, name)
    while len(node.input) < position:
        node.input.append("")
    del node.input[position:]
    node.input.append(body.add_constant(f"{node.output[0]}/{name}", np.array(value, np.int64)))


def _split(body: Body, node: onnx.NodeProto) -> None:
    _attribute_to_input(body, node, "split", 1)
    if len(node.input) < 2:
        node.attribute.append(onnx.helper.make_attribute("num_outputs", len(node.output)))


def _old_softmax(body: Body, node: onnx.NodeProto) -> None:
    """Before opset 13 all axes from `axis` on were one, by default those after the batch."""
    shape = body.shapes().get(node.input[0], ((), 0))[0]
    axis = body.attribute(node, "axis", 1)
    axis += len(shape) if axis < 0 else 0
    _drop_attribute(node, "axis")
    large = [i for i, length in enumerate(shape) if i >= axis and length > 1]
    if len(large) > 1:
        fault = f"is over {math.prod(shape[axis:])} values of several axes"
        raise UserError(body.place(node), fault, "export the model with opset 13 or later")
    node.attribute.append(onnx.helper.make_attribute("axis", large[0] if large else len(shape) - 1))


def _drop_attribute(node: onnx.NodeProto, name: str) -> None:
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
