"""Rows through a part of the graph: which rows are computed when, and which rows are kept meanwhile.

A part is a run of nodes that pass rows on. Each computes a band of a few rows at a time; the deepest node that has
what it needs goes first, so that rows are used as soon as they are there and nothing is computed twice. A branch whose
rows wait for those of another one goes last. What a node makes lies in a *fresh* band, whose memory others may use once
it is read; rows that are needed later are kept in a ring of the tensor's own. The order follows from the shapes alone:
it is found here, once, and the C walks along it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from msgspec import Struct

from nnrules.graph.ir import Graph
from nnrules.graph.operator import RowWindow

ALIGNMENT = 8
SUM_BYTES = 4


class Act(Enum):
    """`push`: the next row of the model's input is there. `fire`: a node computes its next rows. `keep`: rows of a
    fresh band are copied to the ring of their tensor."""

    PUSH = "push"
    FIRE = "fire"
    KEEP = "keep"


class Event(Struct, frozen=True):
    """`name`: of a node that fires, else of a tensor; rows ``first`` to ``first + count - 1``, of the output where a
    node fires (of its input where it sums up a whole image)."""

    act: Act
    name: str
    first: int
    count: int


class Key(NamedTuple):
    """A buffer: the "ring" or the "fresh" band of a tensor, a "whole" one, or the "sums" of a node."""

    kind: str
    name: str


class Place(NamedTuple):
    """Bytes ``low`` to ``high - 1`` of a buffer, which come and go together: all of it, or the place of a row in a
    ring (row r is in place r modulo the ring's rows)."""

    key: Key
    low: int
    high: int


class Extent(NamedTuple):
    """Bytes ``low`` to ``high - 1`` of a buffer are in use."""

    low: int
    high: int


@dataclass(frozen=True)
class Schedule:
    """`events` as tuples, see Event; `rings`, `fresh`: rows of each tensor's ring and fresh band; `whole`: tensors that
    are in memory in one piece; `sums`: nodes that sum up a whole image; `nodes`: the index of the node of each fire;
    `places`: of the buffers that are not whole; `live`: for each fire, the ones in use, as bits in that order;
    `extents`: of the whole tensors, for each fire; `over`: nodes of which each fire may write over the rows of its
    first input; `copied`: bytes that are copied from fresh bands to rings."""

    acts: tuple[tuple[Act, str, int, int], ...]
    rings: dict[str, int]
    fresh: dict[str, int]
    whole: tuple[str, ...]
    sums: tuple[str, ...]
    nodes: tuple[int, ...]
    places: tuple[Place, ...]
    live: tuple[int, ...]
    extents: dict[str, tuple[Extent, ...]]
    over: dict[int, tuple[Key, Key]]
    copied: int

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """What happens, in its order."""
        return tuple(Event(*act) for act in self.acts)

    @cached_property
    def sizes(self) -> dict[Key, int]:
        """Bytes of the buffers that are not whole."""
        found: dict[Key, int] = {}
        for place in self.places:
            found[place.key] = max(found.get(place.key, 0), place.high)
        return found

    @cached_property
    def held(self) -> tuple[int, ...]:
        """For each place the fires during which it is in use, as bits."""
        found, before = [0] * len(self.places), 0
        for fire, live in enumerate((*self.live, 0)):
            changed, before = live ^ before, live
            while changed:
                bit = changed.bit_length() - 1
                changed ^= 1 << bit
                found[bit] += (-1 if live >> bit & 1 else 1) << fire
        return tuple(found)

    def loads(self, in_place: Sequence[int] = ()) -> dict[int, int]:
        """For each node the most bytes in use at its fires, without its working memory; each buffer is rounded up to 8.
        Of a ring counts what is in use at any of the node's fires, since its working memory lies in one place.
        ``in_place``: nodes, of those in ``over``, that write over their input."""
        homes = {key: number for number, group in enumerate(self.groups(in_place)) for key in group}
        masks = [0] * (max(homes.values()) + 1) if homes else []
        for bit, place in enumerate(self.places):
            masks[homes[place.key]] |= 1 << bit
        seen: dict[int, int] = {}
        for node, live in zip(self.nodes, self.live, strict=True):
            seen[node] = seen.get(node, 0) | live
        spans, sizes = self._spans, dict[int, list[tuple[int, int]]]()
        for node, live in seen.items():
            sizes[node] = []
            for mask in masks:
                if within := live & mask:
                    if within not in spans:
                        spans[within] = self._span(within)
                    sizes[node].append((mask, spans[within]))
        found: dict[int, int] = {}
        known: dict[tuple[int, int], int] = {}
        for node, live, wholes in set(zip(self.nodes, self.live, self._whole_bytes, strict=True)):
            if (node, live) not in known:
                known[node, live] = sum([size for mask, size in sizes[node] if live & mask])
            found[node] = max(found.get(node, 0), known[node, live] + wholes)
        return found

    def groups(self, in_place: Sequence[int] = ()) -> list[list[Key]]:
        """The buffers, those that share memory together."""
        homes = {key: [key] for key in self.sizes}
        for node in in_place:
            source, output = (homes[key] for key in self.over[node])
            source += output
            for key in output:
                homes[key] = source
        return [group for key, group in homes.items() if group[0] == key]

    @cached_property
    def _spans(self) -> dict[int, int]:
        """What `_span` gave."""
        return {}

    def _span(self, live: int) -> int:
        """From the first to the last byte of these places of one buffer."""
        lows, highs = [], []
        while live:
            bit = live.bit_length() - 1
            live ^= 1 << bit
            _, low, high = self.places[bit]
            lows.append(low)
            highs.append(high)
        return aligned(max(highs)) - min(lows) // ALIGNMENT * ALIGNMENT

    @cached_property
    def _whole_bytes(self) -> list[int]:
        """Of the whole tensors, for each fire."""
        total = [0] * len(self.nodes)
        for extents in self.extents.values():
            for fire, (low, high) in enumerate(extents):
                if high > low:
                    total[fire] += aligned(high) - low // ALIGNMENT * ALIGNMENT
        return total


def aligned(size: int) -> int:
    """Rounded up as buffers are."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def schedule(
    graph: Graph, nodes: Sequence[int], bands: Mapping[int, int], pushed: bool, needed: frozenset[str] = frozenset()
) -> Schedule | None:
    """The schedule of these nodes (indices, ascending), None where one of them cannot pass rows on, or where the input
    cannot be pushed: there are several, or others than these nodes need its rows too.

    ``bands``: rows that a node computes at a time (else 1, and fewer at an image's end); ``pushed``: the model's input
    comes row by row, else it is in memory; ``needed``: whole tensors that are needed afterwards, beside those that
    later nodes read.
    """
    others = {name for index, node in enumerate(graph.nodes) if index not in nodes for name in node.inputs}
    if any(row_window(graph, index) is None for index in nodes):
        return None
    if pushed and (len(graph.inputs) > 1 or others & set(graph.inputs)):
        return None
    return _Simulation(graph, nodes, bands, pushed, needed).run()


def sums_up(graph: Graph, index: int) -> bool:
    """Whether a node is an average over all rows of its input, which can be summed up as they arrive."""
    node = graph.nodes[index]
    window, rows = row_window(graph, index), height(graph, node.inputs[0])
    alone = height(graph, node.output) == 1  # there may be more below the image
    return alone and node.operator.op == "average_pool2d" and window == RowWindow(rows, window.stride if window else 1)


def row_window(graph: Graph, index: int) -> RowWindow | None:
    """Which rows a node needs, None where it needs all of them or rows mean nothing."""
    node = graph.nodes[index]
    return node.operator.row_window(*graph.shapes(node))


def height(graph: Graph, tensor: str) -> int:
    """Rows of an image; a vector is one row."""
    shape = graph.tensors[tensor].shape
    return shape[0] if len(shape) == 3 else 1


class _Rows:
    """One tensor on its way: rows below ``made`` are there or were, those from ``fresh`` on in its fresh band."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.name = name
        self.height = height(graph, name)
        self.row_bytes = graph.tensors[name].bytes // self.height
        self.consumers: list[_Worker] = []
        self.whole = self.pushed = self.dies = False  # dies: each row is free once it has been read
        self.made = self.fresh = 0
        self.low = self.height  # the first row that is needed from now on
        self.ring = self.band = 0
        self.deepest = -1  # of its consumers
        self.kept: deque[tuple[int, int]] = deque()  # rows in the ring, and the fire after which they came there

    @cached_property
    def passes_on(self) -> bool:
        """Whether each row goes to one consumer that needs nothing else of the tensor for it: there is no ring then."""
        return len(self.consumers) == 1 and self.consumers[0].window == RowWindow() and self.consumers[0].arity == 1

    @cached_property
    def stays(self) -> bool:
        """Whether some of its rows may have to be kept."""
        return not self.passes_on and not self.pushed and not self.whole

    def look(self) -> None:
        """A consumer has moved on."""
        consumers = self.consumers
        self.low = consumers[0].low if len(consumers) == 1 else min([worker.low for worker in consumers])

    def wanted(self) -> bool:
        """Whether a node is about to read it."""
        return any([worker.ready() for worker in self.consumers])  # noqa: C419, faster

    def fits(self) -> bool:
        """Whether the ring as it is takes all that is still needed, so that nobody has to wait for the fresh band."""
        return self.made - self.low <= self.ring


class _Worker:
    """One node: ``next``: the row that it computes next; of one that sums up, the row that it adds next. ``low`` and
    ``stop``: the rows that it needs for it; ``count``: how many rows it computes then."""

    def __init__(self, graph: Graph, index: int, band: int) -> None:
        node = graph.nodes[index]
        window = row_window(graph, index)
        assert window is not None
        self.index, self.name, self.window, self.band = index, node.name, window, band
        self.first_input = node.inputs[0]
        self.arity = len(set(node.inputs))
        self.sums = sums_up(graph, index)
        self.inputs: list[_Rows] = []
        self.next = self.position = self.low = self.stop = self.count = 0
        self.over = True

    def connect(self, inputs: list[_Rows], output: _Rows) -> None:
        """Tell it where its rows come from and go to."""
        self.inputs, self.output = inputs, output
        self.end = inputs[0].height if self.sums else output.height
        for rows in inputs:
            rows.consumers.append(self)
            rows.deepest = self.position
        self.advance(0)

    def advance(self, count: int) -> None:
        """It has gone through so many rows."""
        self.next += count
        self.count = 0 if self.sums else min(self.band, self.end - self.next)
        if self.next == self.end:
            self.low = self.inputs[0].height
        elif self.sums:
            self.low = self.next
        else:
            start = self.next * self.window.stride - self.window.pad
            self.low = min(max(start, 0), self.inputs[0].height)
            self.stop = start + (self.count - 1) * self.window.stride
            self.stop += (self.window.kernel - 1) * self.window.dilation + 1
        for rows in self.inputs:
            rows.look()

    def ready(self) -> bool:
        """Whether it can compute its next rows."""
        if self.sums:  # all that there are
            self.count = self.inputs[0].made - self.next
        if not self.count:
            return False
        return self.sums or all([rows.made >= self.stop or rows.made == rows.height for rows in self.inputs])  # noqa: C419, faster

    def ahead(self) -> bool:
        """Whether all that read its rows have some, and wait for those of others."""
        made, readers = self.output.made, self.output.consumers
        return bool(readers) and all([made >= each.stop and each.waits() for each in readers])  # noqa: C419, faster

    def waits(self) -> bool:
        """Whether it lacks rows of an input."""
        return any([rows.made < min(self.stop, rows.height) for rows in self.inputs])  # noqa: C419, faster


class _Simulation:
    """Runs the rows through, and notes what happens and what is in memory."""

    def __init__(
        self, graph: Graph, nodes: Sequence[int], bands: Mapping[int, int], pushed: bool, needed: frozenset[str]
    ) -> None:
        self.acts: list[tuple[Act, str, int, int]] = []
        self.nodes: list[int] = []
        self.live: list[int] = []
        self.held, self.copied = 0, 0
        self.bands: list[tuple[Key, _Rows]] = []  # fresh ones and sums, as bits of `held`
        self.bits: dict[Key, int] = {}
        self.ringed: list[tuple[_Rows, int, int, int]] = []  # a row in a ring, the first and the last fire with it
        self.workers = [_Worker(graph, index, bands.get(index, 1)) for index in nodes]
        names = dict.fromkeys(name for i in nodes for name in (*graph.nodes[i].inputs, graph.nodes[i].output))
        self.tensors = {name: _Rows(graph, name) for name in names}
        for position, worker in enumerate(self.workers):
            node = graph.nodes[worker.index]
            worker.position = position
            worker.connect([self.tensors[name] for name in dict.fromkeys(node.inputs)], self.tensors[node.output])
        self._place(graph, nodes, pushed, needed)
        self.wholes = [rows for rows in self.tensors.values() if rows.whole]
        self.extents: list[list[Extent]] = [[] for _ in self.wholes]

    def _place(self, graph: Graph, nodes: Sequence[int], pushed: bool, needed: frozenset[str]) -> None:
        """Which tensors are whole, and how large the bands of the others are."""
        made = {graph.nodes[index].output: worker for index, worker in zip(nodes, self.workers, strict=True)}
        outside = {name for i, node in enumerate(graph.nodes) if i not in nodes for name in node.inputs}
        later = {name for node in graph.nodes[max(nodes) + 1 :] for name in node.inputs} | needed
        for name, rows in self.tensors.items():
            rows.pushed = pushed and name in graph.inputs
            rows.whole = not rows.pushed and (name not in made or name in outside or name in graph.outputs)
            if name not in made and rows.whole:
                rows.made = rows.fresh = rows.height
                rows.dies = name not in later and name not in graph.outputs
            consumer = rows.consumers[0].band if rows.passes_on else 1
            rows.band = made[name].band if name in made else 1
            rows.band = 1 if rows.pushed else min(max(rows.band, consumer), rows.height)

    def run(self) -> Schedule:
        """From the first row to the last."""
        self._drain(len(self.workers) - 1)
        source = next((rows for rows in self.tensors.values() if rows.pushed), None)
        while source is not None and source.made < source.height:
            self.acts.append((Act.PUSH, source.name, source.made, 1))
            source.made += 1
            self._drain(source.deepest)
            self._keep(source)  # the caller's row is gone after this
        assert all(worker.next == worker.end for worker in self.workers)
        tensors = self.tensors.values()
        places, live = self._lives()
        return Schedule(
            acts=tuple(self.acts),
            rings={rows.name: rows.ring for rows in tensors if rows.ring},
            fresh={rows.name: rows.band for rows in tensors if not rows.whole and not rows.pushed},
            whole=tuple(rows.name for rows in tensors if rows.whole),
            sums=tuple(worker.name for worker in self.workers if worker.sums),
            nodes=tuple(self.nodes),
            places=places,
            live=live,
            extents={rows.name: tuple(each) for rows, each in zip(self.wholes, self.extents, strict=True)},
            over={worker.index: self._overlaid(worker) for worker in self.workers if worker.over},
            copied=self.copied,
        )

    def _drain(self, start: int) -> None:
        """Compute what can be computed, what others have to catch up with last; nothing behind worker number ``start``
        can."""
        at, ahead = start, -1
        while at >= 0 or ahead >= 0:
            worker = self.workers[at if at >= 0 else ahead]
            if at >= 0 and not worker.ready():
                at -= 1
                continue
            if at >= 0 and worker.ahead():
                at, ahead = at - 1, max(at, ahead)
                continue
            self._fire(worker)
            for rows in (*worker.inputs, worker.output):
                if rows.fresh < rows.made and rows.stays and (rows.fits() or not rows.wanted()):
                    self._keep(rows)
            at, ahead = max(at, ahead, worker.output.deepest), -1

    def _fire(self, worker: _Worker) -> None:
        output, count, fire = worker.output, worker.count, len(self.live)
        if not worker.sums and output.made - output.fresh + count > output.band:
            self._keep(output)
        self._spare(output)
        self.acts.append((Act.FIRE, worker.name, worker.next, count))
        self.nodes.append(worker.index)
        first = worker.inputs[0]
        alone = worker.over and self._alone(worker)
        lows = [rows.low if rows.dies else 0 for rows in self.wholes]  # before: these rows are read now
        worker.advance(count)
        if worker.sums:
            self.held |= self._bit(Key("sums", worker.name), output)
            output.made = int(worker.next == worker.end)
        else:
            output.made += count
        if not output.whole and output.made > output.fresh:
            self.held |= self._bit(Key("fresh", output.name), output)
        self.live.append(self.held)
        for rows, low, extents in zip(self.wholes, lows, self.extents, strict=True):
            extents.append(Extent(low * rows.row_bytes, rows.made * rows.row_bytes))
        if worker.sums and output.made:
            self.held &= ~self._bit(Key("sums", worker.name), output)
        for rows in worker.inputs:
            while rows.kept and rows.kept[0][0] < rows.low:
                row, since = rows.kept.popleft()
                self.ringed.append((rows, row, since, fire))
            if rows.passes_on and rows.low >= rows.made:
                self._release(rows)
        worker.over = alone and first.low >= first.made and not first.whole and not first.pushed and not output.whole

    def _spare(self, rows: _Rows) -> None:
        """The fresh band of some rows is about to be written: what a node wrote over it, or over that in turn, may not
        be needed still."""
        for worker in rows.consumers:
            if worker.over and worker.first_input == rows.name:
                output = worker.output
                worker.over = max(output.low, output.fresh) >= output.made
                if worker.over:
                    self._spare(output)

    def _alone(self, worker: _Worker) -> bool:
        """Whether the fresh band of its first input is just what a node reads, and as large as what it writes."""
        first, output = worker.inputs[0], worker.output
        return (
            (first.fresh, first.made) == (worker.next, worker.next + worker.count)
            and first.band == output.band
            and worker.next % output.band == 0
            and aligned(output.band * output.row_bytes) == aligned(first.band * first.row_bytes)
        )

    def _release(self, rows: _Rows) -> None:
        """Its fresh band is free."""
        rows.fresh = rows.made
        self.held &= ~self.bits.get(Key("fresh", rows.name), 0)

    def _keep(self, rows: _Rows) -> None:
        """Let go of a fresh band: what is needed later goes to the ring."""
        low = rows.low
        first, stop = max(low, rows.fresh), rows.made
        if rows.whole:
            rows.fresh = stop
            return
        self._release(rows)
        if first >= stop:
            return
        self.acts.append((Act.KEEP, rows.name, first, stop - first))
        rows.ring = max(rows.ring, stop - min(low, first))
        since = max(len(self.live) - 1, 0)  # others that are kept after the same fire are still there
        rows.kept.extend([(row, since) for row in range(first, stop)])
        self.copied += (stop - first) * rows.row_bytes

    def _bit(self, key: Key, rows: _Rows) -> int:
        """The bit of a fresh band or of sums of some rows."""
        if key not in self.bits:
            self.bits[key] = 1 << len(self.bands)
            self.bands.append((key, rows))
        return self.bits[key]

    def _lives(self) -> tuple[tuple[Place, ...], tuple[int, ...]]:
        """The buffers' places, and for each fire the ones in use."""
        places, first = [], dict[str, int]()
        for key, rows in self.bands:
            places.append(Place(key, 0, rows.row_bytes * (SUM_BYTES if key.kind == "sums" else rows.band)))
        for rows in self.tensors.values():
            first[rows.name] = len(places)
            lows = range(0, rows.ring * rows.row_bytes, rows.row_bytes)
            places += [Place(Key("ring", rows.name), low, low + rows.row_bytes) for low in lows]
        turned, free = [0] * (len(self.live) + 1), [0] * len(places)
        for rows, row, since, last in self.ringed:
            bit = first[rows.name] + row % rows.ring
            turned[max(since, free[bit])] ^= 1 << bit
            turned[last + 1] ^= 1 << bit
            free[bit] = last + 1
        kept, live = 0, list[int]()
        for change, held in zip(turned, self.live, strict=False):
            kept ^= change
            live.append(kept | held)
        return tuple(places), tuple(live)

    def _overlaid(self, worker: _Worker) -> tuple[Key, Key]:
        return Key("fresh", worker.first_input), Key("fresh", worker.output.name)
