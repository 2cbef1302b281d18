"""Operators written as opset 18 to 20 have them: what were attributes of older ones become constant inputs, inputs
that are left out at the end are not there, and newer opsets are 20 where no operator needs more.

ONNX Runtime (1.32) moves QuantizeLinear nodes about, and those it then makes are invalid from opset 21 on.
"""

import math

import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import MICROSOFT, QUANTIZE, Body
from nnrules.graph.operator import Shape

OLDEST, FORM, NEWEST = 11, 18, 20
AXES = ("Squeeze", "Unsqueeze", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSumSquare")


def run(body: Body) -> None:
    """Raises UserError for an opset older than 11."""
    if body.opset < OLDEST:
        raise UserError(body.name, f"is of opset {body.opset}", f"export it with opset {OLDEST} or later")
    shapes = body.shapes()
    for node in list(body.nodes):
        while node.input and not node.input[-1]:
            del node.input[-1]
        if node.op_type in AXES:
            _attribute_to_input(body, node, "axes", 1)
            axes = body.constant(body.input(node, 1))
            if axes is not None and axes.size:
                _drop_attribute(node, "noop_with_empty_axes")
        elif node.op_type == "Split" and body.opset < FORM:
            _split(body, node)
        elif node.op_type in ("Softmax", "LogSoftmax") and body.opset < 13:
            _old_softmax(body, node, shapes.get(node.input[0], ((), 0))[0])
        elif node.op_type == "Dropout":
            _drop_attribute(node, "ratio")
            del node.input[1:]
            del node.output[1:]
        elif node.op_type == "BatchNormalization":
            for name in ("spatial", "momentum", "training_mode"):
                _drop_attribute(node, name)
            del node.output[1:]
    body.opset = max(body.opset, FORM)
    if body.opset > NEWEST and all(_is_older(body, node) for node in body.nodes):
        body.opset = NEWEST
    body.index()


def _is_older(body: Body, node: onnx.NodeProto) -> bool:
    """Whether an operator of a later opset is one of NEWEST; what QuantizeLinear gives is said by its zero point."""
    if node.domain == MICROSOFT:
        return True
    if node.op_type == QUANTIZE and body.input(node, 2):
        _drop_attribute(node, "output_dtype")
    if not onnx.defs.has(node.op_type, NEWEST):
        return False
    known = onnx.defs.get_schema(node.op_type, NEWEST).attributes
    return all(each.name in known for each in node.attribute)


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


def _old_softmax(body: Body, node: onnx.NodeProto, shape: Shape) -> None:
    """Before opset 13 all axes from `axis` on were one, by default those after the batch."""
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
