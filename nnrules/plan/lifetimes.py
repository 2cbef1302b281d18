"""When each byte of activations is needed: one buffer per tensor, shared by views and by layers that work in place.

Time goes in steps: a layer that sees whole tensors is one step, a part through which rows stream has a step for each
band of rows that one of its layers computes.
"""

from collections.abc import Sequence
from functools import cached_property

import msgspec

from nnrules.graph.ir import Graph
from nnrules.plan.schedule import Act, Life, Schedule
from nnrules.plan.select import Candidate


class Buffer(msgspec.Struct):
    """Memory for ``tensors`` (one, or several that follow each other in place); the bits of ``held`` are the steps."""

    tensors: list[str]
    bytes: int
    held: int

    @property
    def first(self) -> int:
        """The first step."""
        return (self.held & -self.held).bit_length() - 1

    @property
    def last(self) -> int:
        """The last step."""
        return self.held.bit_length() - 1


def span(first: int, last: int) -> int:
    """The bits of the steps first..last."""
    return (1 << (last + 1)) - (1 << first)


class Stream(msgspec.Struct, frozen=True):
    """Nodes ``first`` to ``last`` (both included) pass rows on."""

    first: int
    last: int
    schedule: Schedule

    @property
    def steps(self) -> int:
        """How many bands are computed."""
        return sum(event.act is Act.FIRE for event in self.schedule.events)


class Memory:
    """The buffers of a graph. ``kernels``: one for each node, None for a reshape; ``streams``: in their order."""

    def __init__(self, graph: Graph, kernels: Sequence[Candidate | None], streams: Sequence[Stream] = ()) -> None:
        self.graph, self.kernels, self.streams = graph, kernels, streams
        self._streamed = {index: stream for stream in streams for index in range(stream.first, stream.last + 1)}
        self._start: dict[int, int] = {}
        self.nodes: list[int] = []  # the node of each step
        for index in range(len(graph.nodes)):
            self._start[index] = len(self.nodes)
            stream = self._streamed.get(index)
            if stream is None:
                self.nodes.append(index)
            elif stream.first == index:
                names = {node.name: i for i, node in enumerate(graph.nodes)}
                fires = (event.name for event in stream.schedule.events if event.act is Act.FIRE)
                self.nodes += [names[name] for name in fires]
            else:
                self._start[index] = self._start[stream.first]

    @cached_property
    def tensors(self) -> list[Buffer]:
        """Of all tensors that are in memory in one piece.

        Inputs live from the start, outputs to the end: the caller may keep both inside the arena.  Neither is worked on
        in place, since the caller may as well keep them elsewhere.
        """
        graph, end = self.graph, len(self.nodes) - 1
        edges = {*graph.inputs, *graph.outputs}
        within = {name for stream in self.streams for name in _passing(stream.schedule)}
        last = {name: self._last(name) for name in graph.tensors}
        owner = {
            name: Buffer([name], graph.tensors[name].bytes, span(0, last[name]))
            for name in graph.inputs
            if name not in within
        }
        found = list(owner.values())
        for index, (node, kernel) in enumerate(zip(graph.nodes, self.kernels, strict=True)):
            if node.output in within:
                continue
            size, start = graph.tensors[node.output].bytes, self._first(index)
            stop = end if node.output in graph.outputs else max(last[node.output], start)
            source = owner.get(node.inputs[0])
            if source is not None and (
                node.operator.is_alias
                or kernel is not None
                and index not in self._streamed
                and kernel.in_place
                and source.last == start
                and size <= source.bytes
                and not edges & {*source.tensors, node.output}
            ):
                source.tensors.append(node.output)
                source.held |= span(source.first, stop)
                owner[node.output] = source
            else:
                owner[node.output] = Buffer([node.output], size, span(start, stop))
                found.append(owner[node.output])
        return found

    @cached_property
    def scratch(self) -> dict[int, Buffer]:
        """Of the kernels that see whole tensors, by node."""
        sizes = {i: kernel.scratch_bytes for i, kernel in enumerate(self.kernels) if kernel and i not in self._streamed}
        names = {index: f"{self.graph.nodes[index].name} (scratch)" for index in sizes}
        steps = {index: span(self._start[index], self._start[index]) for index in sizes}
        return {index: Buffer([names[index]], size, steps[index]) for index, size in sizes.items() if size}

    @cached_property
    def rows(self) -> dict[tuple[str, str], Buffer]:
        """Of rows on their way, by kind ("ring", "fresh", "sums", "scratch") and tensor or node."""
        return {
            key: Buffer([f"{key[1]} ({key[0]})"], life.bytes, life.held << self._start[stream.first])
            for stream in self.streams
            for key, life in stream.schedule.lives.items()
            if key[0] != "whole"
        }

    def _life(self, tensor: str, stream: Stream) -> Life:
        return stream.schedule.lives["whole", tensor]

    def _first(self, index: int) -> int:
        """The step in which a node first writes its output."""
        stream = self._streamed.get(index)
        if stream is None:
            return self._start[index]
        held = self._life(self.graph.nodes[index].output, stream).held
        return self._start[index] + (held & -held).bit_length() - 1

    def _last(self, tensor: str) -> int:
        """The last step that reads or writes a tensor."""
        steps = [0]
        for index, node in enumerate(self.graph.nodes):
            stream = self._streamed.get(index)
            if tensor in (*node.inputs, node.output) and (stream is None or tensor in stream.schedule.whole):
                life = self._life(tensor, stream).held.bit_length() - 1 if stream else 0
                steps.append(self._start[index] + life)
        return max(steps)


def _passing(schedule: Schedule) -> set[str]:
    """Tensors of which only rows are in memory."""
    return {event.name for event in schedule.events if event.act is Act.PUSH} | set(schedule.fresh)
