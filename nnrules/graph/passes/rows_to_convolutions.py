"""MatMul of several rows with constant weights -> a 1x1 convolution between Transposes, which are views."""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, Body
from nnrules.graph.operator import Shape
from nnrules.graph.passes.fuse_bias import channel_constant, is_constant


def run(body: Body) -> None:
    """(1, ..., in) x (in, out) -> Conv of (1, in, ...) with (out, in, 1, ...), for one or two axes in between."""
    for node in [each for each in body.nodes if each.op_type == "MatMul"]:
        shapes = body.shapes()
        known = [shapes[value][0] for value in node.input if value in shapes]
        if len(known) == 2 and len(known[0]) in (3, 4) and len(known[1]) == 2 and is_constant(body, node.input[1]):
            weights = _weights(body, node.input[1], len(known[0]) - 2)
            if weights is not None:
                _convolve(body, node, weights, len(known[0]), shapes)


def _weights(body: Body, value: str, spatial: int) -> str | None:
    """(in, out) as (out, in, 1, ...): real, or stored integers with their scales along the new first axis."""
    source = body.producer.get(value)
    stored = body.constants[value if source is None else source.input[0]]
    turned = np.ascontiguousarray(stored.T).reshape(*stored.T.shape, *[1] * spatial)
    if source is None:
        return body.add_constant(f"{value}/convolution", turned)
    scale = body.constant(source.input[1])
    if scale is None or (scale.size > 1 and body.attribute(source, "axis", 1) % 2 != 1):
        return None
    name = body.add_constant(f"{source.input[0]}/convolution", turned)
    result = body.fresh(f"{value}/convolution")
    axis = {"axis": 0} if scale.size > 1 else {}
    body.insert_after(source, body.make(DEQUANTIZE, [name, *source.input[1:]], result, **axis))
    return result


def _convolve(body: Body, node: onnx.NodeProto, weights: str, rank: int, shapes: dict[str, tuple[Shape, int]]) -> None:
    add, bias = body.only_user(node.output[0]), None
    if add is not None and add.op_type == "Add":
        other = add.input[1] if add.input[0] == node.output[0] else add.input[0]
        bias = channel_constant(body, other, node, shapes)
    result = node.output[0] if add is None or bias is None else add.output[0]
    inner, back = list(range(1, rank - 1)), [0, *range(2, rank), 1]
    first, last = body.fresh(f"{node.output[0]}/channels"), body.fresh(f"{result}/channels_first")
    nodes = [
        body.make("Transpose", [node.input[0]], first, perm=[0, rank - 1, *inner]),
        body.make("Conv", [first, weights, *([bias] if bias else [])], last, kernel_shape=[1] * (rank - 2)),
        body.make("Transpose", [last], result, perm=back),
    ]
    nodes[1].name = node.name or result
    if bias is not None and add is not None:
        body.nodes = [each for each in body.nodes if each is not node]
        body.index()
        node = add
    body.replace(node, nodes)
