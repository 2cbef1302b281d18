"""Activations of few levels, several to a byte: in the arena, where a plan wants it so; what they are stays as it is.

A tensor of up to 16 (4) levels takes 4 (2) bits a value: a code, which is the value less the lowest level. Codes follow
each other along the last axis, the first in a byte's lowest bits, and each pixel begins at a byte.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from nnrules.graph.ir import Graph, Node, Packing, Tensor
from nnrules.graph.operator import Parameter

WIDTHS = (2, 4)


def packed(graph: Graph, names: Iterable[str]) -> Graph:
    """The graph with these tensors, of those in ``packings``, stored so."""
    known = packings(graph)
    chosen = {name: replace(graph.tensors[name], packing=known[name]) for name in names}
    return replace(graph, tensors={**graph.tensors, **chosen}) if chosen else graph


def packings(graph: Graph) -> dict[str, Packing]:
    """How tensors may be stored that have few levels and take fewer bytes so, with what their readers' borders hold.

    Inputs and outputs of the program stay as they are. Tensors that are views of each other are all packed, or none
    is: their pixels have to lie alike. None where a program has several formats.
    """
    if graph.selector:
        return {}
    groups, spans = views(graph), _spans(graph)
    found: dict[str, Packing] = {}
    for group in groups.values():
        low, high = (side(spans[name][end] for name in group) for end, side in enumerate((min, max)))
        bits = next((bits for bits in WIDTHS if high - low < 1 << bits), 8)
        tensors = [replace(graph.tensors[name], packing=Packing(bits, low)) for name in group]
        edges = {*graph.inputs, *graph.outputs} & set(group)
        if bits < 8 and _lie_alike(tensors, bits) and not edges and tensors[0].bytes < graph.tensors[group[0]].bytes:
            found.update((each.name, Packing(bits, low)) for each in tensors)
    return found


def packing_parameters(graph: Graph, node: Node) -> dict[str, Parameter]:
    """What a kernel has to know of packed tensors: the bits and the lowest level of its inputs and of its output
    (``x_bits``, ``x_low``, of a second input ``x2_bits``, ``x2_low``; ``y_bits``, ``y_low``), and how many ``channels``
    lie behind each other; none where all are bytes."""
    names = (*node.inputs, node.output)
    if all(graph.tensors[name].packing is None for name in names):
        return {}
    found: dict[str, Parameter] = {"packed": 1, "channels": graph.tensors[node.output].shape[-1]}
    for place, name in zip(("x", "x2", "y"), (node.inputs[0], node.inputs[-1], node.output), strict=True):
        packing = graph.tensors[name].packing or Packing(8, 0)
        found |= {f"{place}_bits": packing.bits, f"{place}_low": packing.low}
    return found


def _lie_alike(views: Sequence[Tensor], bits: int) -> bool:
    """Whether their pixels begin at the same bytes: they are as long, or end with a byte."""
    lengths = {each.shape[-1] if each.shape else 0 for each in views}
    return all(lengths) and (len(lengths) == 1 or all(length * bits % 8 == 0 for length in lengths))


def views(graph: Graph) -> dict[str, list[str]]:
    """Tensors that are the same memory, by the first of them; nothing of which the values are not int8."""
    root = {name: name for name, tensor in graph.tensors.items() if tensor.dtype == "int8"}
    for node in graph.nodes:
        if node.operator.is_alias:
            root[node.output] = root[node.inputs[0]]
    found: dict[str, list[str]] = {}
    for name, first in root.items():
        found.setdefault(first, []).append(name)
    return found


def _spans(graph: Graph) -> dict[str, tuple[int, int]]:
    """The lowest and the highest value of each tensor, and of the borders that its readers put around it."""
    values = dict.fromkeys(graph.inputs, (-128, 127))
    found = dict(values)
    for node in graph.nodes:
        shapes = graph.shapes(node)
        values[node.output] = node.operator.span(shapes, [values[name] for name in node.inputs])
        found[node.output] = values[node.output]
        for border in node.operator.borders:
            low, high = found[node.inputs[0]]
            found[node.inputs[0]] = min(low, border), max(high, border)
    return found
