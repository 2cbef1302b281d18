"""Graphs of several formats: the same layers with other constants."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from nnrules.graph.formats import joined
from nnrules.graph.ir import Graph
from nnrules.graph.operator import Operator
from nnrules.graph.requant import Requantization
from tests.cases.case import Draw

FORMATS = 3


def varied(operator: Operator, bits: int) -> Operator:
    """With biases and factors smaller by so many bits."""
    changes: dict[str, Any] = {}
    for name in operator.__struct_fields__:
        value = getattr(operator, name)
        if isinstance(value, Requantization):
            changes[name] = msgspec.structs.replace(value, multiplier=(value.multiplier >> bits) & ~1)
        elif name in ("bias", "m1", "m2") or (name == "table" and operator.op == "lookup"):
            changes[name] = value >> bits
    return msgspec.structs.replace(operator, **changes)


@st.composite
def with_formats(draw: Draw, graphs: st.SearchStrategy[Graph]) -> Graph:
    """Some layers differ from format to format, some do not."""
    graph, variants = draw(graphs), []
    same = {node.name for node in graph.nodes if draw(st.integers(0, 3)) == 0}
    for number in range(FORMATS):
        nodes = tuple(
            node
            if node.name in same
            else msgspec.structs.replace(node, operator=varied(node.operator, draw(st.integers(0, 2))))
            for node in graph.nodes
        )
        tensors = {name: msgspec.structs.replace(t, scale=2.0**number) for name, t in graph.tensors.items()}
        variants.append(msgspec.structs.replace(graph, nodes=nodes, tensors=tensors))
    return joined(variants, "format")
