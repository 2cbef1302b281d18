"""When each byte of activations is needed: one buffer per tensor, shared by views and by layers that work in place.

Time goes in steps: a layer that sees whole tensors is one step, a part through which rows stream has a step for each
band of rows that one of its layers computes. A whole tensor that such a part reads dies row by row, one that it makes
grows row by row.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec

from nnrules.graph.ir import Graph, Node
from nnrules.plan.schedule import Act, Extent, Key, Schedule, aligned
from nnrules.plan.select import Candidate


class Piece(NamedTuple):
    """Bytes ``low`` to ``high - 1`` of a buffer are in use in the steps that are the bits of ``held``, for the tensor
    number ``owner`` of it."""

    held: int
    low: int
    high: int
    owner: int = 0


class Buffer(msgspec.Struct):
    """Memory for ``tensors`` (one, or several that follow each other in place)."""

    tensors: list[str]
    pieces: list[Piece]

    @property
    def bytes(self) -> int:
        """The most that it is."""
        return max(piece.high for piece in self.pieces)

    @property
    def held(self) -> int:
        """All steps, as bits."""
        bits = 0
        for piece in self.pieces:
            bits |= piece.held
        return bits

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
    return (1 << max(last + 1, first)) - (1 << first)


class Stream(msgspec.Struct, frozen=True):
    """Nodes ``first`` to ``last`` (both included) pass rows on; those ``in_place`` write over their first input."""

    first: int
    last: int
    schedule: Schedule
    in_place: tuple[int, ...] = ()

    @property
    def pushed(self) -> str:
        """The tensor whose rows come one by one, "" if it is in memory."""
        return next((name for act, name, _, _ in self.schedule.acts if act is Act.PUSH), "")


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
                self.nodes += stream.schedule.nodes
            else:
                self._start[index] = self._start[stream.first]

    @cached_property
    def tensors(self) -> list[Buffer]:
        """Of all tensors that are in memory in one piece.

        Inputs live from the start, outputs to the end: the caller may keep both inside the arena.  Neither is worked on
        in place, since the caller may as well keep them elsewhere.
        """
        graph = self.graph
        within = {name for each in self.streams for name in (each.pushed, *each.schedule.fresh)}
        inputs = [name for name in graph.inputs if name not in within]
        owner = {name: Buffer([name], self._pieces(name, 0)) for name in inputs}
        found = list(owner.values())
        for index, (node, kernel) in enumerate(zip(graph.nodes, self.kernels, strict=True)):
            if node.output in within:
                continue
            pieces = self._pieces(node.output, self._first(index))
            source = owner.get(node.inputs[0])
            if source is not None and (node.operator.is_alias or self._overwrites(index, node, kernel, source)):
                source.pieces += [piece._replace(owner=len(source.tensors)) for piece in pieces]
                source.tensors.append(node.output)
                owner[node.output] = source
            else:
                owner[node.output] = Buffer([node.output], pieces)
                found.append(owner[node.output])
        return found

    @cached_property
    def scratch(self) -> dict[int, Buffer]:
        """Working memory of the kernels, by node: first the rows that are brought together."""
        found = {}
        for index, kernel in enumerate(self.kernels):
            if kernel is not None and kernel.working_bytes:
                start, stream = self._start[index], self._streamed.get(index)
                held = 1 << start
                if stream is not None:
                    held = sum(1 << start + i for i, node in enumerate(stream.schedule.nodes) if node == index)
                name = f"{self.graph.nodes[index].name} (scratch)"
                found[index] = Buffer([name], [Piece(held, 0, kernel.working_bytes)])
        return found

    @cached_property
    def rows(self) -> dict[Key, Buffer]:
        """Of rows on their way; those that share memory have the same buffer."""
        found: dict[Key, Buffer] = {}
        for stream in self.streams:
            plan, start = stream.schedule, self._start[stream.first]
            held = list(zip(plan.places, plan.held, strict=True))
            for group in plan.groups(stream.in_place):
                pieces = [
                    Piece(bits << start, place.low, place.high, owner)
                    for owner, key in enumerate(group)
                    for place, bits in held
                    if place.key == key
                ]
                found.update(dict.fromkeys(group, Buffer([f"{key.name} ({key.kind})" for key in group], pieces)))
        return found

    def _overwrites(self, index: int, node: Node, kernel: Candidate | None, source: Buffer) -> bool:
        """Whether a layer that sees whole tensors works in place."""
        edges = {*self.graph.inputs, *self.graph.outputs}
        return (
            kernel is not None
            and index not in self._streamed
            and kernel.in_place
            and source.last == self._start[index]
            and self.graph.tensors[node.output].bytes <= self.graph.tensors[node.inputs[0]].bytes
            and not edges & {*source.tensors, node.output}
        )

    def _pieces(self, tensor: str, first: int) -> list[Piece]:
        """Of a whole tensor that is there from step ``first`` on."""
        last, whole = self._last(tensor, first), Extent(0, self.graph.tensors[tensor].bytes)
        held: dict[Extent, int] = {}
        step = first
        for stream in self.streams:
            start = self._start[stream.first]
            extents = stream.schedule.extents.get(tensor, ())
            if extents and start <= last:
                held[whole] = held.get(whole, 0) | span(step, start - 1)
                for fire, extent in enumerate(extents):
                    if extent.high > extent.low:
                        held[extent] = held.get(extent, 0) | 1 << start + fire
                step = start + len(extents)
        held[whole] = held.get(whole, 0) | span(step, last)
        return [Piece(bits, *extent) for extent, bits in held.items() if bits]

    def _first(self, index: int) -> int:
        """The step in which a node first writes its output."""
        stream = self._streamed.get(index)
        if stream is None:
            return self._start[index]
        extents = stream.schedule.extents[self.graph.nodes[index].output]
        return self._start[index] + next(fire for fire, extent in enumerate(extents) if extent.high)

    def _last(self, tensor: str, first: int) -> int:
        """The last step that needs a tensor."""
        if tensor in self.graph.outputs:
            return len(self.nodes) - 1
        steps = [first]
        for index, node in enumerate(self.graph.nodes):
            stream = self._streamed.get(index)
            if tensor in node.inputs and stream is None:
                steps.append(self._start[index])
            elif tensor in node.inputs and stream is not None:
                extents = enumerate(stream.schedule.extents[tensor])
                steps.append(self._start[index] + max(fire for fire, (low, high) in extents if high > low))
        return max(steps)


def step_bytes(buffers: Sequence[Buffer]) -> list[int]:
    """The bytes in use in each step, buffers rounded up to 8: no arena is smaller than the most of them."""
    changes = [0] * (max((buffer.last for buffer in buffers), default=-1) + 2)
    for held, low, high in (piece[:3] for buffer in buffers for piece in _outline(buffer.pieces)):
        size = aligned(high) - low // 8 * 8
        for first, last in _runs(held):
            changes[first] += size
            changes[last + 1] -= size
    return list(itertools.accumulate(changes))[:-1]


def spans_of(buffer: Buffer, owner: int) -> list[tuple[int, int, int, int]]:
    """When how much of it is in use for one of its tensors, in order: first and last step, lowest byte and one above
    the highest."""
    extents: dict[Extent, int] = {}
    for held, low, high, _ in _outline([piece for piece in buffer.pieces if piece.owner == owner]):
        extents[Extent(low, high)] = extents.get(Extent(low, high), 0) | held
    found = []
    for extent, held in extents.items():
        found += [(first, last, *extent) for first, last in _runs(held)]
    return sorted(found)


def _runs(held: int) -> Iterator[tuple[int, int]]:
    """The first and the last of bits that are set one after the other."""
    first = 0
    while rest := held >> first:
        first += (rest & -rest).bit_length() - 1
        run = held >> first
        count = (~run & (run + 1)).bit_length() - 1
        yield first, first + count - 1
        first += count


def _outline(pieces: Sequence[Piece]) -> list[Piece]:
    """Of pieces in use at the same time, the union."""
    found, seen = list[Piece](), 0
    for piece in pieces:
        held = piece.held
        if held & seen:  # never of a tensor that grows or dies row by row, which has many
            grown = list[Piece]()
            for other in found:
                both = other.held & held
                if both:
                    grown.append(Piece(both, min(piece.low, other.low), max(piece.high, other.high)))
                    held &= ~both
                if other.held & ~both:
                    grown.append(Piece(other.held & ~both, other.low, other.high))
            found = grown
        if held:
            found.append(Piece(held, piece.low, piece.high))
        seen |= piece.held
    return found
