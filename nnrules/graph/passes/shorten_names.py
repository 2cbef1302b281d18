"""TensorFlow calls a fused layer after all its parts, `a;b;c`: it is called after the first, and numbered."""

from nnrules.graph.importers.body import Body


def run(body: Body) -> None:
    """Names of nodes only: messages, reports and comments in C show them. All become different."""
    seen = set[str]()
    for node in body.nodes:
        name = (node.name or next(iter(node.output), "")).partition(";")[0]
        numbered = next(each for each in (name, *(f"{name}.{i}" for i in range(1, 10**6))) if each not in seen)
        seen.add(numbered)
        node.name = numbered
