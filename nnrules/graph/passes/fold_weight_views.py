"""Transpose, Reshape, Squeeze, ... of dequantized weights are done to the stored integers."""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, Body

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


def run(body: Body) -> None:
    """The axis of the scales moves along; a Reshape that splits or joins that axis stays and is refused later."""
    for node in [each for each in body.nodes if each.op_type in VIEWS]:
        source = body.producer.get(node.input[0])
        if source is None or source.op_type != DEQUANTIZE or source.input[0] not in body.constants:
            continue
        values = body.constants[source.input[0]]
        shape = body.shapes().get(node.output[0])
        if shape is None:
            continue
        axis = _moved(body, node, source, values, shape[0])
        if axis is None:
            continue
        order = body.attribute(node, "perm", list(range(values.ndim))[::-1])
        moved = values.transpose(order) if node.op_type == "Transpose" else values.reshape(shape[0])
        name = body.add_constant(f"{source.input[0]}/{node.op_type.lower()}", np.ascontiguousarray(moved))
        attributes = {} if axis < 0 else {"axis": axis}
        body.replace(node, [body.make(DEQUANTIZE, [name, *source.input[1:]], node.output[0], **attributes)])


def _moved(
    body: Body, node: onnx.NodeProto, source: onnx.NodeProto, values: np.ndarray, shape: tuple[int, ...]
) -> int | None:
    """Where the axis of the scales goes; -1: one scale for all, None: nowhere."""
    scale = body.constant(source.input[1])
    if scale is None:
        return None
    if scale.size == 1 and scale.ndim == 0:
        return -1
    axis = body.attribute(source, "axis", 1) % max(values.ndim, 1)
    if node.op_type == "Transpose":
        order = body.attribute(node, "perm", list(range(values.ndim))[::-1])
        return list(order).index(axis)
    before = int(np.prod(values.shape[:axis], dtype=np.int64))
    for i, length in enumerate(shape):
        if int(np.prod(shape[:i], dtype=np.int64)) == before and length == values.shape[axis]:
            return i
    return None
