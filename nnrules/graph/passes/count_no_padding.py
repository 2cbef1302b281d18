"""AveragePool that counts its padding and has none -> one that does not.

Where such a pooling rounds its size up, its last windows reach behind the image. What they reach there never counts,
but ONNX Runtime counts it when it fuses the pooling with the quantization around it.
"""

from nnrules.graph.importers.body import Body


def run(body: Body) -> None:
    """Only where the padding is stated: SAME_UPPER and SAME_LOWER are left alone."""
    for node in body.nodes:
        automatic = body.attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
        if node.op_type == "AveragePool" and not automatic and not any(body.attribute(node, "pads", ())):
            kept = [each for each in node.attribute if each.name != "count_include_pad"]
            del node.attribute[:]
            node.attribute.extend(kept)
