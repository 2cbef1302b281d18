"""One QuantizeLinear for all equal ones that read one value, one DequantizeLinear likewise."""

import onnx

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body


def run(body: Body) -> None:
    """Exporters write one pair for each reader of a tensor."""
    seen: dict[tuple[object, ...], onnx.NodeProto] = {}
    for node in list(body.nodes):
        if node.op_type not in (QUANTIZE, DEQUANTIZE) or node.input[0] in body.constants:
            continue
        known = [body.constant(value) for value in node.input[1:]]
        if any(each is None for each in known):
            continue
        parameters = tuple((str(each.dtype), each.tobytes()) for each in known if each is not None)
        key = (node.op_type, node.input[0], parameters)
        first = seen.setdefault(key, node)
        if first is not node and node.output[0] not in body.ends:
            body.nodes = [each for each in body.nodes if each is not node]
            body.redirect(node.output[0], first.output[0])
