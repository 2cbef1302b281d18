"""The order in which a graph's nodes can run."""

from collections.abc import Sequence
from heapq import heappop, heappush

import onnx

from nnrules.error import UserError


def place(name: str, node: onnx.NodeProto) -> str:
    """How messages name a node of the model `name`."""
    return f"{name}: node '{node.name or next(iter(node.output), '')}' ({node.op_type})"


def in_order(nodes: Sequence[onnx.NodeProto], given: set[str], name: str) -> list[onnx.NodeProto]:
    """The nodes in an order in which they can run, theirs if that is one; `given`: the values that no node makes.

    Raises UserError for a cycle, for a value that two nodes make, and for one that nothing makes.
    """
    made = {value: i for i, node in enumerate(nodes) for value in node.output if value}
    if len(made) < sum(1 for node in nodes for value in node.output if value):
        raise UserError(name, "two nodes make one value", "export the model again")
    waiting = [_sources(node, i, made, given, name) for i, node in enumerate(nodes)]
    readers: dict[int, list[int]] = {}
    for i, sources in enumerate(waiting):
        for source in sources:
            readers.setdefault(source, []).append(i)
    ready, order = [i for i, sources in enumerate(waiting) if not sources], list[int]()
    while ready:
        i = heappop(ready)
        order.append(i)
        for reader in readers.get(i, ()):
            waiting[reader].discard(i)
            if not waiting[reader]:
                heappush(ready, reader)
    if len(order) < len(nodes):
        stuck = nodes[min(set(range(len(nodes))) - set(order))]
        raise UserError(place(name, stuck), "is part of a cycle, or follows one", "export the model again")
    return [nodes[i] for i in order]


def _sources(node: onnx.NodeProto, index: int, made: dict[str, int], given: set[str], name: str) -> set[int]:
    """The nodes that make what one reads."""
    for value in node.input:
        if value and value not in given and value not in made:
            raise UserError(place(name, node), f"reads '{value}', which nothing makes", "export the model again")
        if value and made.get(value) == index:
            raise UserError(place(name, node), "reads its own output", "export the model again")
    return {made[value] for value in node.input if value and value not in given}
