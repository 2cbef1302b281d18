"""MatMul or Conv, then Add of a constant -> the layer with a bias."""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, Body
from nnrules.graph.operator import Shape


def run(body: Body) -> None:
    """Only where nothing else reads the sum's other term, and the constant has one value for each channel."""
    shapes = body.shapes()
    for add in [each for each in body.nodes if each.op_type == "Add"]:
        for position in (0, 1):
            layer = body.producer.get(add.input[position])
            if layer is not None and _takes_bias(body, layer, add, shapes):
                bias = channel_constant(body, add.input[1 - position], layer, shapes)
                if bias is not None:
                    _fuse(body, layer, add, bias)
                    break


def _takes_bias(body: Body, layer: onnx.NodeProto, add: onnx.NodeProto, shapes: dict[str, tuple[Shape, int]]) -> bool:
    if layer.op_type not in ("MatMul", "Gemm", "Conv", "ConvTranspose") or body.only_user(layer.output[0]) is not add:
        return False
    if layer.op_type == "MatMul":
        ranks = [len(shapes[value][0]) if value in shapes else 0 for value in layer.input]
        return ranks == [2, 2] and is_constant(body, layer.input[1])
    return not body.input(layer, 2)


def is_constant(body: Body, value: str) -> bool:
    source = body.producer.get(value)
    return value in body.constants or (
        source is not None and source.op_type == DEQUANTIZE and source.input[0] in body.constants
    )


def channel_constant(body: Body, value: str, layer: onnx.NodeProto, shapes: dict[str, tuple[Shape, int]]) -> str | None:
    """The name of the constant as one value for each output channel; None where it is something else."""
    if not is_constant(body, value) or layer.output[0] not in shapes:
        return None
    out, given = shapes[layer.output[0]][0], shapes[value][0]
    axis = 1 if layer.op_type in ("Conv", "ConvTranspose") else len(out) - 1
    aligned = (1,) * (len(out) - len(given)) + given
    others = [n for i, n in enumerate(aligned) if i != axis]
    if len(given) > len(out) or any(n != 1 for n in others) or aligned[axis] not in (1, out[axis]):
        return None
    return value if given == (out[axis],) else _flat(body, value, out[axis])


def _flat(body: Body, value: str, count: int) -> str | None:
    """A constant as one axis of so many values, under a new name."""
    source = body.producer.get(value)
    if source is None:
        flat = np.broadcast_to(body.constants[value].reshape(-1), (count,))
        return body.add_constant(f"{value}/bias", np.ascontiguousarray(flat))
    stored, scale = body.constants[source.input[0]], body.constants[source.input[1]]
    if stored.size != count or scale.size != 1:
        return None
    name = body.add_constant(f"{source.input[0]}/bias", stored.reshape(-1))
    result = body.fresh(f"{value}/bias")
    body.insert_after(source, body.make(DEQUANTIZE, [name, *source.input[1:]], result))
    return result


def _fuse(body: Body, layer: onnx.NodeProto, add: onnx.NodeProto, bias: str) -> None:
    """The layer takes over the sum's output; a dequantized bias comes before it."""
    kind = "Gemm" if layer.op_type == "MatMul" else layer.op_type
    fused = onnx.helper.make_node(kind, [*layer.input[:2], bias], [add.output[0]], name=layer.name or add.output[0])
    fused.attribute.extend(layer.attribute)
    body.nodes = [each for each in body.nodes if each is not layer]
    body.index()
    body.replace(add, [fused])
