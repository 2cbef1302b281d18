"""Refuse windows of convolutions and poolings that are no windows: shape inference divides by their strides."""

import math

import onnx

from nnrules.error import UserError
from nnrules.graph.importers.body import Body

WINDOWED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "QLinearConv", "QLinearAveragePool", "ConvInteger")
LARGEST = 2**12  # along an axis
MOST_POSITIONS = 2**16


def run(body: Body) -> None:
    """Raises UserError for a kernel, stride or dilation below 1, for pads below 0, and for any beyond reason."""
    for node in body.nodes:
        if node.op_type in WINDOWED:
            for name, least in (("kernel_shape", 1), ("strides", 1), ("dilations", 1), ("pads", 0)):
                _require(body, node, name, least)
            if math.prod(body.attribute(node, "kernel_shape", [1])) > MOST_POSITIONS:
                fault = f"has a kernel of {math.prod(body.attribute(node, 'kernel_shape')):,} positions"
                raise UserError(body.place(node), fault, f"at most {MOST_POSITIONS:,} are supported")
            if body.attribute(node, "group", 1) < 1:
                raise UserError(
                    body.place(node), f"has {body.attribute(node, 'group')} groups", "export the model again"
                )


def _require(body: Body, node: onnx.NodeProto, name: str, least: int) -> None:
    values = body.attribute(node, name, [])
    if any(not least <= each <= LARGEST for each in values):
        raise UserError(body.place(node), f"has {name} {list(values)}", f"only {least} to {LARGEST:,} are supported")
