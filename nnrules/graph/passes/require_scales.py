"""Refuse scales that are no positive numbers, or not as many as they must be, and views of other sizes."""

import math

import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body
from nnrules.graph.operator import Shape

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


def run(body: Body) -> None:
    """Raises UserError that names the node; shape inference lets all of these pass."""
    shapes = {name: shape for name, (shape, _) in body.shapes().items()}
    for node in body.nodes:
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            _require(body, node, shapes.get(node.input[0]))
        elif node.op_type in VIEWS and node.input[0] in shapes and node.output[0] in shapes:
            before, after = shapes[node.input[0]], shapes[node.output[0]]
            if math.prod(before) != math.prod(after):
                fault = f"sees {math.prod(before):,} values {before} as {math.prod(after):,} {after}"
                raise UserError(body.place(node), fault, "export the model again")


def _require(body: Body, node: onnx.NodeProto, shape: Shape | None) -> None:
    scale = body.constant(node.input[1])
    point = body.constant(body.input(node, 2))
    if scale is None:
        return
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        wrong = next(float(each) for each in scale.reshape(-1) if not (np.isfinite(each) and each > 0))
        raise UserError(body.place(node), f"its scale is {wrong}", "check the model for NaN")
    if body.attribute(node, "block_size", 0):
        raise UserError(body.place(node), "has scales for blocks", "use one scale, or one for each channel")
    axis = body.attribute(node, "axis", 1)
    fits = scale.size == 1
    if shape is not None and not fits and -len(shape) <= axis < len(shape):
        fits = scale.size == shape[axis]
    if not fits or (point is not None and point.size not in (scale.size, 1)):
        points = 1 if point is None else point.size
        fault = f"has {scale.size} scales and {points} zero points for {shape}"
        raise UserError(body.place(node), fault, "export the model again")
