"""The segments of a program: single nodes that see whole tensors, and parts through which rows stream."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations

from nnrules.graph.ir import Graph
from nnrules.graph.operator import RowWindow
from nnrules.plan.lifetimes import Stream
from nnrules.plan.schedule import Schedule, aligned, height, row_window, schedule, sums_up
from nnrules.plan.select import COPYING, Candidate, Limit, Offers

PART = 1500  # instructions that a part has to save for its code and its schedule, or some RAM
STEP = 100  # and for each of its layers
SIZES = (1, 2, 4)  # rows at a time
HEAVIER = 1.125  # what weights may be of those on whole tensors; the knapsack says what fits in the end
CHOICES = 3  # layers of a part that can work in place or not, up to which all their ways are tried
LESS = 0.9  # of the instructions, for which two rows at a time are worth their memory


@dataclass(frozen=True)
class Offer:
    """What a node may take in a segment: `bytes` beside the segment's load at its steps."""

    instructions: float
    bytes: int


@dataclass
class Segment:
    """Nodes ``first`` to ``last``: one that sees whole tensors, or with a ``stream`` a part through which rows stream,
    ``bands`` of them at a time. `loads`: for each node, the bytes in use at its steps beside what its kernel takes;
    `limits`: what of that its kernel is free to choose; `copying`: instructions that are no kernel's; `price`: what
    it has to save besides."""

    first: int
    last: int
    loads: dict[int, int]
    limits: dict[int, Limit]
    offers: dict[int, list[Offer]]
    bands: dict[int, int] = field(default_factory=dict)
    stream: Stream | None = None
    copying: float = 0.0
    price: float = 0.0
    _priced: tuple[float, float] = (-math.inf, math.inf)  # `_cost` holds for bounds from the second to the first
    _cost: float = math.inf

    def cost(self, bound: float) -> tuple[float, int]:
        """The fewest instructions that keep the bound, with the price; infinite where nothing does; and the bytes."""
        if self._priced[1] <= bound <= self._priced[0]:
            return self._cost, int(self._priced[1])
        cost, peak = self.copying + self.price, 0
        for node, load in self.loads.items():
            fitting = [offer for offer in self.offers[node] if load + offer.bytes <= bound]
            if not fitting and self.offers[node]:
                return math.inf, 0
            taken = min(fitting, key=lambda offer: (offer.instructions, offer.bytes), default=Offer(0.0, 0))
            cost += taken.instructions
            peak = max(peak, load + taken.bytes)
        self._priced, self._cost = (bound, peak), cost
        return cost, peak


class Parts:
    """Makes the segments. ``chosen``: the kernels that whole tensors would have; ``fires``: of all schedules so far;
    ``every_way``: whether all ways to work in place are tried, up to CHOICES."""

    def __init__(self, offers: Offers, chosen: Sequence[Candidate | None]) -> None:
        self.offers, self.chosen, self.graph = offers, chosen, offers.graph
        self.groups = Groups(offers.graph)
        self.fires = 0
        self.every_way = True
        self._offered: dict[tuple[int, int, Limit], list[Offer]] = {}

    def whole(self, index: int) -> Segment:
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

    def uniform(self, first: int, last: int, windows: int, others: int) -> dict[int, int]:
        """How many rows each node of a part computes at a time: ``windows`` if it sees more than the row itself (0: 2
        where that takes less than LESS of the instructions, else 1), else as many as ``others``."""
        return self.bands({index: self._uniform(index, windows, others) for index in range(first, last + 1)})

    def bands(self, wanted: Mapping[int, int]) -> dict[int, int]:
        """As many rows at a time as wanted where that can be, of nodes in their order. One row where rows need not lie
        one after the other; and as many as the node before where neither divides the other."""
        graph, found, made = self.graph, dict[int, int](), dict[str, int]()
        for index, rows in wanted.items():
            node = graph.nodes[index]
            band = min(rows, height(graph, node.output))
            if sums_up(graph, index):
                band = 1
            elif row_window(graph, index) == RowWindow():
                before = made.get(node.inputs[0], 1)
                band = 1 if index in self._scattered else band if not band % before or not before % band else before
            found[index] = made[node.output] = band
        return found

    def streamed(self, first: int, last: int, bands: dict[int, int]) -> list[Segment]:
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
        self.fires += len(found.nodes)
        return [self._segment(first, last, bands, found, in_place) for in_place in self._in_place(found, bands)]

    def _in_place(self, found: Schedule, bands: Mapping[int, int]) -> list[tuple[int, ...]]:
        """Which nodes write over their input, of those that may: those whose fastest kernel does, all of them, and with
        `every_way` each subset of few that have the choice, as a kernel may take more memory for it than that saves."""
        able = {node: [each.in_place for each in self._candidates(node, bands)] for node in found.over}
        most = tuple(node for node in able if any(able[node]))
        free = [node for node in most if not all(able[node])]
        apart = [{node for node in free if not min(self._candidates(node, bands), key=_instructions).in_place}, set()]
        if self.every_way and len(free) <= CHOICES:
            apart += [set(some) for count in range(len(free) + 1) for some in combinations(free, count)]
        return [*dict.fromkeys(tuple(node for node in most if node not in some) for some in apart)]

    def _candidates(self, node: int, bands: Mapping[int, int]) -> list[Candidate]:
        return self.offers.candidates(node, bands[node])[0]

    def _segment(
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
            PART + STEP * len(bands),
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
        light = [c for c in fitting if c.weight_bytes <= HEAVIER * most.weight_bytes]
        light = light or [min(fitting, key=lambda c: c.weight_bytes)]
        found: list[Offer] = []
        for offer in sorted((limit.taken(c), c.instructions) for c in light):
            if not found or offer[1] < found[-1].instructions:
                found.append(Offer(offer[1], offer[0]))
        return found

    @cached_property
    def _scattered(self) -> frozenset[int]:
        """Nodes that see row by row, and whose input's rows may be apart: others read it, or it comes row by row."""
        readers: dict[str, set[int]] = {}
        for index, node in enumerate(self.graph.nodes):
            for name in node.inputs:
                readers.setdefault(name, set()).add(index)
        return frozenset(
            index
            for index, node in enumerate(self.graph.nodes)
            if len(set(node.inputs)) > 1
            or len(readers[node.inputs[0]]) > 1
            or not set(self.graph.inputs).isdisjoint(node.inputs)
        )

    def _uniform(self, index: int, windows: int, others: int) -> int:
        if row_window(self.graph, index) == RowWindow():
            return others
        if windows or self.offers.least(index, 2) > LESS * self.offers.least(index, 1):
            return windows or 1
        return 2


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


def _instructions(candidate: Candidate) -> float:
    return candidate.instructions
