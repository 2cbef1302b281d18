"""TensorFlow calls a fused layer after all its parts, `a;b;c`: it is called after the first, and numbered."""

from itertools import count

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body


def run(body: Body) -> None:
    """Names of nodes only: messages, reports and comments in C show them. All become different."""
    seen = set[str]()
    for node in sorted(body.nodes, key=lambda node: node.op_type in (QUANTIZE, DEQUANTIZE)):
        name = (node.name or next(iter(node.output), "")).partition(";")[0]
        if name in seen:
            name = next(each for i in count(1) if (each := f"{name}.{i}") not in seen)
        seen.add(name)
        node.name = name
