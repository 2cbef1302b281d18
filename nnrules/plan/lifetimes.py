"""When each byte of activations is needed: one buffer per tensor, shared by views and by layers that work in place."""

import msgspec

from nnrules.graph.ir import Graph
from nnrules.plan.select import Candidate


class Buffer(msgspec.Struct):
    """Memory for ``tensors`` (one, or several that follow each other in place) while nodes first..last run."""

    tensors: list[str]
    bytes: int
    first: int
    last: int


def buffers(graph: Graph, kernels: list[Candidate | None]) -> list[Buffer]:
    """The buffers of all tensors and of the kernels' scratch; ``kernels`` has one entry per node, None for a reshape.

    Inputs live from the start, outputs to the end: the caller may keep both inside the arena.  Neither is worked on in
    place, since the caller may as well keep them elsewhere.
    """
    last_use = {name: index for index, node in enumerate(graph.nodes) for name in node.inputs}
    end = len(graph.nodes) - 1
    edges = {*graph.inputs, *graph.outputs}
    owner = {name: Buffer([name], graph.tensors[name].bytes, 0, last_use.get(name, 0)) for name in graph.inputs}
    found = list(owner.values())
    for index, (node, kernel) in enumerate(zip(graph.nodes, kernels, strict=True)):
        size = graph.tensors[node.output].bytes
        last = end if node.output in graph.outputs else last_use.get(node.output, index)
        source = owner[node.inputs[0]]
        if node.operator.is_alias or (
            kernel is not None
            and kernel.in_place
            and source.last == index
            and size <= source.bytes
            and not edges & {*source.tensors, node.output}
        ):
            source.tensors.append(node.output)
            source.last = max(source.last, last)
            owner[node.output] = source
        else:
            owner[node.output] = Buffer([node.output], size, index, last)
            found.append(owner[node.output])
    return found


def scratch_buffers(graph: Graph, kernels: list[Candidate | None]) -> dict[int, Buffer]:
    """The scratch of each node that needs some."""
    sizes = {index: kernel.scratch_bytes for index, kernel in enumerate(kernels) if kernel is not None}
    return {
        index: Buffer([f"{graph.nodes[index].name} (scratch)"], size, index, index)
        for index, size in sizes.items()
        if size
    }
