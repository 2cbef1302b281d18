"""Where rows stream and where whole tensors stand: for each amount of RAM the fewest instructions.

A program is the nodes in their order, cut into segments: single nodes that see whole tensors, and parts through which
rows stream, a few rows at a time. What is in memory during a segment depends on the segment alone, since every tensor
that crosses a cut is whole. So under a bound on the RAM each node takes its fastest kernel whose working memory still
fits, independently of the others, and the best cuts are a shortest path. The bound is lowered step by step, which gives
the Pareto front of RAM and instructions.

That is exact over all cuts and the bands of BANDS, as long as no part has more than CHOICES layers with kernels of
which some work in place and some do not (nnrules.plan.parts), and the schedules of all parts have no more than FIRES
steps together; beyond, parts begin and end only where the fewest bytes are in use, and either all that can work in
place do, or those whose fastest kernel does. Then the parts on the front are varied: one layer computes another number
of rows at a time, or the part has one layer more or less; what is better takes their place, until nothing is, or
MORE_FIRES steps have been looked at. So on the front no single change of a part helps, but several at once might; and
where no part is on the front, none is varied.

What is counted is the bytes in use at once, of a ring what a node has in use at any of its turns, since its working
memory lies in one place (nnrules.plan.schedule); so there may be less in use. Where the buffers lie is packed
afterwards (nnrules.plan.arena), and may take more. Kernels may not have weights much larger than those chosen for whole
tensors; the knapsack of all layers is solved anew with what the path allows each. A part has its price
(nnrules.plan.parts), so that no rows stream for nothing.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from nnrules.plan.lifetimes import Stream
from nnrules.plan.parts import SIZES, Parts, Segment
from nnrules.plan.schedule import ALIGNMENT, height, row_window
from nnrules.plan.select import Candidate, Limit, Offers

BANDS = ((1, 1), (2, 2), (4, 4), (0, 1))  # rows at a time, see Parts.uniform
FIRES = 30_000
MORE_FIRES = 45_000


@dataclass(frozen=True)
class Program:
    """A way through the graph: `bytes` in use at most, `instructions` as estimated, `price`: of its parts besides."""

    bytes: int
    instructions: float
    segments: tuple[Segment, ...]
    price: float = 0.0

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


class _Ways:
    """All segments with the same ends."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self._bounds = (math.inf, -math.inf)  # `_best` holds from the first to the second
        self._best: tuple[float, int, Segment] | None = None

    def add(self, segment: Segment) -> None:
        """One more."""
        self.segments.append(segment)
        self._bounds = (math.inf, -math.inf)

    def best(self, bound: float) -> tuple[float, int, Segment] | None:
        """Cost, bytes and segment, None where none keeps the bound."""
        if not self._bounds[0] <= bound <= self._bounds[1]:
            costs = ((*segment.cost(bound), segment) for segment in self.segments)
            self._best = min((each for each in costs if math.isfinite(each[0])), key=_price_and_bytes, default=None)
            self._bounds = (self._best[1] if self._best else -math.inf, bound)
        return self._best


class Search:
    """``chosen``: the kernels that whole tensors would have; ``streaming``: whether rows may stream at all."""

    def __init__(self, offers: Offers, chosen: Sequence[Candidate | None], state: int, streaming: bool = True) -> None:
        self.graph, self.state = offers.graph, state
        self._make = Parts(offers, chosen)
        self._count = len(self.graph.nodes)
        self.whole = [self._make.whole(index) for index in range(self._count)]
        self._whole_ways: dict[int, dict[int, _Ways]] = {}
        self._ways: dict[int, dict[int, _Ways]] = {}
        self._known: set[tuple[int, int, tuple[int, ...]]] = set()
        for segment in self.whole:
            _add(self._whole_ways, segment)
            _add(self._ways, segment)
        spans = self._spans() if streaming else []
        self.parts = [segment for ends in spans for segment in self._uniform(*ends)]

    @cached_property
    def front(self) -> list[Program]:
        """From the fewest instructions to the least RAM: each takes less RAM than the one before, and costs more."""
        front, most = self.first_front, self._make.fires + MORE_FIRES
        varied: set[int] = set()
        while True:
            streamed = [part for program in front[::-1] for part in program.segments if part.stream]
            new = [part for part in streamed if id(part) not in varied]
            if not new:
                return front
            for part in new:
                varied.add(id(part))
                for start, last, bands in self._variants(part):
                    if self._make.fires > most:
                        return self._front()
                    self._part(start, last, bands)
            front = self._front()

    @property
    def steps(self) -> int:
        """Of all schedules that have been looked at."""
        return self._make.fires

    @cached_property
    def first_front(self) -> list[Program]:
        """The same with the bands of BANDS."""
        return self._front()

    def _front(self) -> list[Program]:
        found = [*self._lowered(self._whole_ways, 0), *self._lowered(self._ways, self.state)]
        front: list[Program] = []
        for program in sorted(found, key=lambda each: (each.bytes, each.instructions + each.price)):
            cost = program.instructions + program.price
            if not front or cost < front[-1].instructions + front[-1].price:
                front.append(program)
        return front[::-1]

    def _spans(self) -> list[tuple[int, int]]:
        """First and last nodes of the parts that are looked at, see FIRES; where that is not all, neither are all ways
        to work in place."""
        spans, rows = [], [height(self.graph, node.output) for node in self.graph.nodes]
        for first in range(self._count):
            for last in range(first, self._count):
                if row_window(self.graph, last) is None:
                    break
                spans.append((first, last, len(BANDS) * sum(rows[first : last + 1])))
        passing = [self._make.groups.passing(place) for place in range(self._count + 1)]
        places = sorted(range(self._count + 1), key=lambda place: (place not in (0, self._count), passing[place]))
        low, high = 2, len(places)
        while low < high:  # the most places to cut at
            some = set(places[: (low + high + 1) // 2])
            if sum(fires for first, last, fires in spans if {first, last + 1} <= some) <= FIRES:
                low = len(some)
            else:
                high = len(some) - 1
        self._make.every_way = low == len(places)
        return [(first, last) for first, last, _ in spans if {first, last + 1} <= set(places[:low])]

    def _uniform(self, first: int, last: int) -> list[Segment]:
        found = [self._part(first, last, self._make.uniform(first, last, *band)) for band in BANDS]
        return [segment for segments in found for segment in segments]

    def _part(self, first: int, last: int, bands: dict[int, int]) -> list[Segment]:
        """The part with these bands, nothing if it is known."""
        key = first, last, tuple(bands.values())
        if key in self._known:
            return []
        self._known.add(key)
        segments = self._make.streamed(first, last, bands)
        for segment in segments:
            _add(self._ways, segment)
        return segments

    def _variants(self, part: Segment) -> Iterator[tuple[int, int, dict[int, int]]]:
        """All that differ from it by the rows of one node, or by one node more or less at an end."""
        make, first, last, bands = self._make, part.first, part.last, part.bands
        for index, rows in itertools.product(bands, SIZES):
            yield first, last, make.bands({**bands, index: rows})
        for start, stop in ((first - 1, last), (first + 1, last), (first, last - 1), (first, last + 1)):
            inside = 0 <= start <= stop < self._count
            if inside and all(row_window(self.graph, index) is not None for index in (start, stop)):
                nodes = range(start, stop + 1)
                yield start, stop, make.bands({index: bands.get(index, 1) for index in nodes})

    def _lowered(self, ways: dict[int, dict[int, _Ways]], state: int) -> Iterator[Program]:
        """The best program for each bound, from no bound on; ``state``: bytes that each with streams takes besides."""
        bound = math.inf
        while True:
            best: list[tuple[float, int] | None] = [(0.0, 0)] + [None] * self._count
            taken: list[Segment | None] = [None] * (self._count + 1)
            for place in range(self._count):
                here = best[place]
                if here is None:
                    continue
                for last, way in ways[place].items():
                    found = way.best(bound)
                    if found is not None:
                        cost, known = (here[0] + found[0], max(here[1], found[1])), best[last + 1]
                        if known is None or cost < known:
                            best[last + 1], taken[last + 1] = cost, found[2]
            end = best[self._count]
            if end is None:
                return
            assert end[1] <= bound  # else there is no end
            segments, place = list[Segment](), self._count
            while place:
                segment = taken[place]
                assert segment is not None
                segments.append(segment)
                place = segment.first
            price = sum(segment.price for segment in segments)
            more = state if any(segment.stream for segment in segments) else 0
            yield Program(end[1] + more, end[0] - price, tuple(segments[::-1]), price)
            bound = end[1] - ALIGNMENT


def _add(ways: dict[int, dict[int, _Ways]], segment: Segment) -> None:
    ways.setdefault(segment.first, {}).setdefault(segment.last, _Ways()).add(segment)


def _price_and_bytes(way: tuple[float, int, Segment]) -> tuple[float, int]:
    return way[:2]
