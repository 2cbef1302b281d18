"""Views (Reshape, Transpose, ...) move behind what treats each value alone: QuantizeLinear then follows its layer."""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body

VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
ALONE = (QUANTIZE, DEQUANTIZE, "Relu", "Clip")


def run(body: Body) -> None:
    """x -> view -> f becomes x -> f -> view where f is one of ALONE, per tensor, and the only reader of the view.

    Reshapes that mix the batch with other axes, and back, are neighbours then.
    """
    changed = True
    while changed:
        changed = False
        for view in [each for each in body.nodes if each.op_type in VIEWS]:
            reader = body.only_user(view.output[0]) if view.output[0] in body.producer else None
            if (
                reader is not None
                and reader.op_type in ALONE
                and reader.input[0] == view.output[0]
                and _per_tensor(body, reader)
            ):
                _swap(body, view, reader)
                changed = True
    _merge(body)


def _merge(body: Body) -> None:
    """Two Reshapes are one, or none, where the first mixes the batch, which is one, with other axes."""
    for second in [each for each in body.nodes if each.op_type == "Reshape"]:
        first = body.producer.get(second.input[0])
        if first is None or first.op_type != "Reshape":
            continue
        shapes = body.shapes()
        values = (first.input[0], second.input[0], second.output[0])
        if any(each not in shapes for each in values):
            continue
        before, between, after = (shapes[each][0] for each in values)
        if between[0] == 1:
            continue
        second.input[0] = first.input[0]
        second.input[1] = body.add_constant(f"{second.output[0]}/shape", np.array(after))
        body.index()
        if before == after:
            body.bypass(second)


def _per_tensor(body: Body, node: onnx.NodeProto) -> bool:
    scale = body.constant(node.input[1]) if node.op_type in (QUANTIZE, DEQUANTIZE) else np.float32(1)
    return scale is not None and np.size(scale) == 1


def _swap(body: Body, view: onnx.NodeProto, reader: onnx.NodeProto) -> None:
    source, between, result = view.input[0], view.output[0], reader.output[0]
    reader.input[0] = source
    reader.output[0] = (
        body.fresh(f"{source}/{result}") if source in body.producer else body.fresh(f"{source}/{reader.op_type}")
    )
    view.input[0], view.output[0] = reader.output[0], result
    del between
    first = next(i for i, each in enumerate(body.nodes) if each is view)
    second = next(i for i, each in enumerate(body.nodes) if each is reader)
    body.nodes[first], body.nodes[second] = reader, view
    body.sort()
    body.index()
