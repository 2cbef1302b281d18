"""The parts through which rows stream, as the plan records them."""

from collections.abc import Mapping

from nnrules.graph.ir import Graph
from nnrules.plan.lifetimes import Stream
from nnrules.plan.record import Flow, Lane
from nnrules.plan.schedule import Key, aligned, height

STATE_BYTES = 8  # of the counters, and two for each tensor
LARGEST_BYTE, LARGEST_SHORT = 255, 65_535


def state_bytes(graph: Graph) -> int:
    """Of the counters of a program through which rows stream, and its format, rounded up to 8."""
    rows = max(height(graph, name) for name in graph.tensors)
    counter = 1 if rows <= LARGEST_BYTE else 2 if rows <= LARGEST_SHORT else 4
    return aligned(STATE_BYTES + counter * (2 * len(graph.tensors) + bool(graph.selector)))


def make_flow(graph: Graph, stream: Stream, offsets: Mapping[Key, int], state_offset: int) -> Flow:
    """The record of a part. ``offsets``: of its buffers in the arena; ``state_offset``: of the counters."""
    nodes = graph.nodes[stream.first : stream.last + 1]
    names = dict.fromkeys(name for node in nodes for name in (*node.inputs, node.output))
    return Flow(
        first=stream.first,
        last=stream.last,
        pushed=stream.pushed,
        events=stream.schedule.events,
        lanes=tuple(_lane(graph, name, stream, offsets) for name in names),
        sums={name: offsets[Key("sums", name)] for name in stream.schedule.sums},
        state_offset=state_offset,
        state_bytes=state_bytes(graph),
    )


def _lane(graph: Graph, name: str, stream: Stream, offsets: Mapping[Key, int]) -> Lane:
    rows = height(graph, name)
    return Lane(
        tensor=name,
        height=rows,
        row_bytes=graph.tensors[name].bytes // rows,
        ring=stream.schedule.rings.get(name, 0),
        ring_offset=offsets.get(Key("ring", name), 0),
        fresh=stream.schedule.fresh.get(name, 0),
        fresh_offset=offsets.get(Key("fresh", name), 0),
    )
