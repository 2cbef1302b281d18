"""MatMul of several rows with constant weights -> a 1x1 convolution between Transposes, which are views.

A Gemm or MatMul of rows alone, (rows, in), which ONNX Runtime and TensorFlow make of it between Reshapes, too.
"""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, Body
from nnrules.graph.operator import Shape
from nnrules.graph.passes.fuse_bias import channel_constant, is_constant


def run(body: Body) -> None:
    """(1, ..., in) x (in, out) -> Conv of (1, in, ...) with (out, in, 1, ...), for one or two axes in between."""
    for node in [each for each in body.nodes if each.op_type in ("Gemm", "MatMul")]:
        _rows_alone(body, node)
    for node in [each for each in body.nodes if each.op_type == "MatMul"]:
        shapes = body.shapes()
        known = [shapes[value][0] for value in node.input if value in shapes]
        if len(known) == 2 and len(known[0]) in (3, 4) and len(known[1]) == 2 and is_constant(body, node.input[1]):
            weights = _weights(body, node.input[1], len(known[0]) - 2)
            if weights is not None:
                _convolve(body, node, weights, len(known[0]), shapes)


def _rows_alone(body: Body, node: onnx.NodeProto) -> None:
    """Of (rows, in), the batch being one -> Reshape to (1, rows, in), MatMul, Add, and Reshape back."""
    shapes = body.shapes()
    given = shapes.get(node.input[0], ((1, 1), 0))[0]
    if len(given) != 2 or node.output[0] not in shapes:
        return
    rows, inner = given
    plain = all(body.attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta")) and not body.attribute(
        node, "transA", 0
    )
    if rows == 1 or not plain or not is_constant(body, node.input[1]):
        return
    columns, result = shapes[node.output[0]][0][1], node.output[0]
    weights = _transposed(body, node.input[1]) if body.attribute(node, "transB", 0) else node.input[1]
    names = [body.fresh(f"{result}/{each}") for each in ("rows", "product", "sum")]
    sizes = [
        body.add_constant(f"{result}/{i}", np.array(each)) for i, each in enumerate([(1, rows, inner), (rows, columns)])
    ]
    nodes = [
        body.make("Reshape", [node.input[0], sizes[0]], names[0]),
        body.make("MatMul", [names[0], weights], names[1]),
    ]
    nodes[1].name = node.name or result
    if body.input(node, 2):
        nodes.append(body.make("Add", [names[1], node.input[2]], names[2]))
    body.replace(node, [*nodes, body.make("Reshape", [nodes[-1].output[0], sizes[1]], result)])


def _transposed(body: Body, value: str) -> str:
    """Constant weights (out, in) as (in, out), stored ones with their scales along the other axis."""
    source = body.producer.get(value)
    if source is None:
        return body.add_constant(f"{value}/transposed", body.constants[value].T)
    stored = body.add_constant(f"{source.input[0]}/transposed", body.constants[source.input[0]].T)
    result = body.fresh(f"{value}/transposed")
    axis = 1 - body.attribute(source, "axis", 1) % 2
    body.insert_after(source, body.make(DEQUANTIZE, [stored, *source.input[1:]], result, axis=axis))
    return result


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
