"""Where rows stream and where whole tensors stand: for each amount of RAM the fewest instructions.

A program is the nodes in their order, cut into segments: single nodes that see whole tensors, and parts through which
rows stream, a few rows at a time. What is in memory during a segment depends on the segment alone, since every tensor
that crosses a cut is whole. So under a bound on the RAM each node takes its fastest kernel whose working memory still
fits, independently of the others, and the best cuts are a shortest path: exact over all cuts and, within
a part, the bands of BANDS.
The bound is lowered step by step, which gives the Pareto front of RAM and instructions.

What is counted is the bytes in use at once; where the buffers lie is packed afterwards (nnrules.plan.arena), and may
take more. Kernels may not have larger weights than those chosen for whole tensors; the knapsack of all layers is solved
anew with what the path allows each.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from nnrules.graph.ir import Graph
from nnrules.graph.operator import RowWindow
from nnrules.plan.lifetimes import Stream
from nnrules.plan.schedule import ALIGNMENT, Schedule, aligned, height, row_window, schedule, sums_up
from nnrules.plan.select import COPYING, Candidate, Limit, Offers

BANDS = ((1, 1), (2, 2), (4, 4), (1, 2), (1, 4), (0, 1))  # rows at a time, of windows (0: 2 where that is cheaper by
# LESS, else 1) and of layers that see row by row
LESS = 0.9


@dataclass(frozen=True)
class Offer:
    """What a node may take in a segment: `bytes` beside the segment's load at its steps."""

    instructions: float
    bytes: int


@dataclass
class Segment:
    """Nodes ``first`` to ``last``: one that sees whole tensors, or with a ``stream`` a part through which rows stream,
    ``bands`` of them at a time. `loads`: for each node, the bytes in use at its steps beside what its kernel takes;
    `limits`: what of that its kernel is free to choose; `copying`: instructions that are no kernel's."""

    first: int
    last: int
    loads: dict[int, int]
    limits: dict[int, Limit]
    offers: dict[int, list[Offer]]
    bands: dict[int, int] = field(default_factory=dict)
    stream: Stream | None = None
    copying: float = 0.0
    _priced: tuple[float, float] = (-math.inf, math.inf)  # `_cost` holds for bounds from the second to the first
    _cost: float = math.inf

    def cost(self, bound: float) -> tuple[float, int]:
        """The fewest instructions that keep the bound, infinite where nothing does; and the bytes then."""
        if self._priced[1] <= bound <= self._priced[0]:
            return self._cost, int(self._priced[1])
        cost, peak = self.copying, 0
        for node, load in self.loads.items():
            fitting = [offer for offer in self.offers[node] if load + offer.bytes <= bound]
            if not fitting and self.offers[node]:
                return math.inf, 0
            taken = min(fitting, key=lambda offer: (offer.instructions, offer.bytes), default=Offer(0.0, 0))
            cost += taken.instructions
            peak = max(peak, load + taken.bytes)
        self._priced, self._cost = (bound, peak), cost
        return cost, peak


@dataclass(frozen=True)
class Program:
    """A way through the graph: `bytes` in use at most, `instructions` as estimated."""

    bytes: int
    instructions: float
    segments: tuple[Segment, ...]

    @property
    def streams(self) -> list[Stream]:
        """The parts through which rows stream."""
        return [segment.stream for segment in self.segments if segment.stream]

    @property
    def bands(self) -> dict[int, int]:
        """Rows at a time, of their nodes."""
        return {node: band for segment in self.segments for node, band in segment.bands.items()}

    def limits(self, state: int) -> dict[int, Limit]:
        """What each node's kernel may take of the arena; ``state``: of the counters."""
        room = self.bytes - (state if self.streams else 0)
        return {
            node: Limit(room - load, segment.limits[node].output, segment.limits[node].in_place)
            for segment in self.segments
            for node, load in segment.loads.items()
        }


class Search:
    """``chosen``: the kernels that whole tensors would have; ``streaming``: whether rows may stream at all."""

    def __init__(self, offers: Offers, chosen: Sequence[Candidate | None], state: int, streaming: bool = True) -> None:
        self.offers, self.chosen, self.state = offers, chosen, state
        self.graph = graph = offers.graph
        self.groups = Groups(graph)
        self._offered: dict[tuple[int, int, Limit], list[Offer]] = {}
        self.whole = [self._alone(index) for index in range(len(graph.nodes))]
        self.parts = list(self._parts()) if streaming else []

    @cached_property
    def front(self) -> list[Program]:
        """From the fewest instructions to the least RAM: each takes less RAM than the one before, and costs more."""
        found = [*_lowered(self.whole), *_lowered([*self.whole, *self.parts], self.state)]
        front: list[Program] = []
        for program in sorted(found, key=lambda each: (each.bytes, each.instructions, len(each.streams))):
            if not front or program.instructions < front[-1].instructions:
                front.append(program)
        return front[::-1]

    def _alone(self, index: int) -> Segment:
        """One node on whole tensors."""
        graph, groups = self.graph, self.groups
        node = graph.nodes[index]
        load, output = groups.passing(index), aligned(graph.tensors[node.output].bytes)
        if node.operator.is_alias:
            return Segment(index, index, {index: load}, {index: Limit(0)}, {index: []})
        free = groups.may_be_overwritten(index)
        limit = Limit(0, output if free else 0)
        offers = {index: self._offers(index, 0, limit)}
        return Segment(index, index, {index: load if free else load + output}, {index: limit}, offers)

    def _parts(self) -> Iterator[Segment]:
        """All parts."""
        graph = self.graph
        for first in range(len(graph.nodes)):
            seen = set()
            for last in range(first, len(graph.nodes)):
                if row_window(graph, last) is None:
                    break
                for windows, others in BANDS:
                    bands = part_bands(self.offers, first, last, windows, others)
                    if tuple(bands.values()) not in seen:
                        seen.add(tuple(bands.values()))
                        yield from self._part(first, last, bands)

    def _part(self, first: int, last: int, bands: dict[int, int]) -> list[Segment]:
        """Through which rows stream; the model's input is pushed where it can be."""
        graph, groups = self.graph, self.groups
        needed = frozenset(name for name in graph.tensors if groups.last[groups.root[name]] > last)
        found = None
        if first == 0:
            found = schedule(graph, range(first, last + 1), bands, True, needed)
        if found is None:
            found = schedule(graph, range(first, last + 1), bands, False, needed)
        if found is None:
            return []
        fastest = {node: min(self._candidates(node, bands), key=_instructions) for node in found.over}
        some = tuple(node for node, candidate in fastest.items() if candidate.in_place)
        most = tuple(node for node in found.over if any(each.in_place for each in self._candidates(node, bands)))
        return [self._streamed(first, last, bands, found, in_place) for in_place in dict.fromkeys((some, most))]

    def _candidates(self, node: int, bands: Mapping[int, int]) -> list[Candidate]:
        return self.offers.candidates(node, bands[node])[0]

    def _streamed(
        self, first: int, last: int, bands: dict[int, int], found: Schedule, in_place: tuple[int, ...]
    ) -> Segment:
        """With some of the nodes that may write over their input doing so."""
        stream = Stream(first, last, found, in_place)
        passing = self.groups.passing(first, {*found.whole, stream.pushed})
        limits = {node: Limit(0, 0, node in in_place) for node in bands}
        return Segment(
            first,
            last,
            {node: load + passing for node, load in found.loads(in_place).items()},
            limits,
            {node: self._offers(node, bands[node], limits[node]) for node in bands},
            bands,
            stream,
            found.copied * COPYING,
        )

    def _offers(self, index: int, band: int, limit: Limit) -> list[Offer]:
        """Those that none beats in both."""
        if (index, band, limit) not in self._offered:
            self._offered[index, band, limit] = self._unbeaten(index, band, limit)
        return self._offered[index, band, limit]

    def _unbeaten(self, index: int, band: int, limit: Limit) -> list[Offer]:
        most = self.chosen[index]
        assert most is not None
        fitting = [c for c in self.offers.candidates(index, band)[0] if c.in_place or not limit.in_place]
        light = [c for c in fitting if c.weight_bytes <= most.weight_bytes]
        light = light or [min(fitting, key=lambda c: c.weight_bytes)]
        found: list[Offer] = []
        for offer in sorted((limit.taken(c), c.instructions) for c in light):
            if not found or offer[1] < found[-1].instructions:
                found.append(Offer(offer[1], offer[0]))
        return found


class Groups:
    """Whole tensors as they share memory through reshapes: `root`: the one that a tensor is a view of; `first`, `last`:
    nodes between which it is needed, -1 for the model's input, the number of nodes for its output."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.root = {name: name for name in graph.tensors}
        self.first = dict.fromkeys(graph.inputs, -1)
        self.last = dict.fromkeys(graph.inputs, 0)
        for index, node in enumerate(graph.nodes):
            for name in node.inputs:
                self.last[self.root[name]] = index
            if node.operator.is_alias:
                self.root[node.output] = self.root[node.inputs[0]]
            else:
                self.first[node.output] = self.last[node.output] = index
        for name in graph.outputs:
            self.last[self.root[name]] = len(graph.nodes)

    def passing(self, first: int, without: set[str] | frozenset[str] = frozenset()) -> int:
        """Bytes of the whole tensors that are there before node ``first`` and still needed; all but some."""
        apart = {self.root[name] for name in without if name}
        return sum(
            aligned(self.graph.tensors[name].bytes)
            for name, made in self.first.items()
            if made < first <= self.last[name] and name not in apart
        )

    def may_be_overwritten(self, index: int) -> bool:
        """Whether a node that sees whole tensors may write its output over its first input."""
        graph, node = self.graph, self.graph.nodes[index]
        source = self.root[node.inputs[0]]
        edges = {self.root[name] for name in graph.inputs} | {node.output} & set(graph.outputs)
        return (
            self.last[source] == index
            and graph.tensors[node.output].bytes <= graph.tensors[node.inputs[0]].bytes
            and not edges & {source, node.output}
        )


def part_bands(offers: Offers, first: int, last: int, windows: int, others: int) -> dict[int, int]:
    """How many rows each node of a part computes at a time, fewer at an image's end: ``windows`` if it sees more than
    the row itself, else as many as ``others``. One row where rows need not lie one after the other, as those
    of the model's input, which may come alone; and as many as the node before it where neither divides the other."""
    graph, bands = offers.graph, dict[int, int]()
    for index in range(first, last + 1):
        node, rows = graph.nodes[index], height(graph, graph.nodes[index].output)
        users = sum(name in other.inputs for other in graph.nodes for name in set(node.inputs))
        if sums_up(graph, index):
            bands[index] = 1
        elif row_window(graph, index) != RowWindow():
            bands[index] = min(windows or 2, rows)
            if not windows and offers.least(index, bands[index]) > LESS * offers.least(index, 1):
                bands[index] = 1
        elif users > 1 or not set(graph.inputs).isdisjoint(node.inputs):
            bands[index] = 1
        else:
            made = next((band for i, band in bands.items() if graph.nodes[i].output == node.inputs[0]), 1)
            bands[index] = min(others if others % made == 0 or made % others == 0 else made, rows)
    return bands


def _instructions(candidate: Candidate) -> float:
    return candidate.instructions


def _lowered(segments: Sequence[Segment], state: int = 0) -> Iterator[Program]:
    """The best program for each bound, from no bound on; ``state``: bytes that each takes besides."""
    count = max(segment.last for segment in segments) + 1
    starting: list[list[Segment]] = [[] for _ in range(count)]
    for segment in segments:
        starting[segment.first].append(segment)
    bound = math.inf
    while True:
        best: list[tuple[float, int, tuple[Segment, ...]] | None] = [(0.0, 0, ())] + [None] * count
        for place in range(count):
            here = best[place]
            if here is None:
                continue
            for segment in starting[place]:
                cost, peak = segment.cost(bound)
                known = best[segment.last + 1]
                if math.isfinite(cost):
                    total, most = here[0] + cost, max(here[1], peak)
                    if known is None or (total, most) < known[:2]:
                        best[segment.last + 1] = (total, most, (*here[2], segment))
        end = best[count]
        if end is None:
            return
        yield Program(end[1] + (state if any(segment.stream for segment in end[2]) else 0), end[0], end[2])
        bound = end[1] - ALIGNMENT
