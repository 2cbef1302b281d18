"""What moves or selects values without changing any keeps its input's quantization, also where nobody wrote it down."""

import onnx

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body

KEEPING = ("MaxPool", "Slice", "Gather", "Relu", "DepthToSpace", "SpaceToDepth", "ReduceMax", "ReduceMin")


def run(body: Body) -> None:
    """After such a node on a dequantized value, a pair with the input's scale and zero point, unless one follows."""
    for node in list(body.nodes):
        keeps = node.op_type in KEEPING or (node.op_type == "Split") or _nearest(body, node)
        if not keeps:
            continue
        source = _pair_before(body, node.input[0])
        if source is None:
            continue
        for value in list(node.output):
            if value and not _is_quantized(body, value):
                _insert(body, node, value, source)


def _nearest(body: Body, node: onnx.NodeProto) -> bool:
    return node.op_type == "Resize" and body.attribute(node, "mode", b"nearest") == b"nearest"


def _pair_before(body: Body, value: str) -> onnx.NodeProto | None:
    """The DequantizeLinear behind a value, views left out."""
    node = body.producer.get(value)
    while node is not None and node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"):
        node = body.producer.get(node.input[0])
    quantized = node is not None and node.op_type == DEQUANTIZE and node.input[0] not in body.constants
    return node if quantized else None


def _is_quantized(body: Body, value: str) -> bool:
    """Whether a QuantizeLinear follows, behind activations that are fused and views."""
    users = body.users(value)
    if any(each.op_type == QUANTIZE for each in users):
        return True
    through = ("Relu", "Clip", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
    if len(users) == 1 and users[0].op_type in through and value not in body.ends:
        return _is_quantized(body, users[0].output[0])
    return False


def _insert(body: Body, node: onnx.NodeProto, value: str, source: onnx.NodeProto) -> None:
    real = body.fresh(f"{value}/real") if value in body.ends else value
    if value in body.ends:
        body.rename(value, real)
    stored, restored = body.fresh(f"{value}/quantized"), value if real != value else body.fresh(f"{value}/dequantized")
    pair = [
        body.make(QUANTIZE, [real, *source.input[1:]], stored),
        body.make(DEQUANTIZE, [stored, *source.input[1:]], restored),
    ]
    body.redirect(real, restored)
    body.insert_after(node, *pair)
