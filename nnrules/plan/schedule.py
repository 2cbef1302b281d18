"""Rows through a part of the graph: which rows are computed when, and which rows are kept meanwhile.

A part is a run of nodes that pass rows on. Each computes a band of a few rows at a time; the deepest node that has
what it needs goes first, so that rows are used as soon as they are there and nothing is computed twice. What a node
makes lies in a *fresh* band, whose memory others may use once it is read; rows that are needed later are kept in a ring
of the tensor's own. The order follows from the shapes alone: it is found here, once, and the C walks along it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from msgspec import Struct

from nnrules.graph.ir import Graph
from nnrules.graph.operator import RowWindow

ALIGNMENT = 8


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


class Extent(NamedTuple):
    """Bytes ``low`` to ``high - 1`` of a buffer are in use."""

    low: int
    high: int


@dataclass(frozen=True)
class Schedule:
    """`events` as tuples, see Event; `rings`, `fresh`: rows of each tensor's ring and fresh band; `whole`: tensors that
    are in memory in one piece; `sums`: nodes that sum up a whole image; `nodes`: the index of the node of each fire;
    `sizes`: bytes of the buffers that are not whole; `live`: for each fire, the ones in use, as bits in that order;
    `extents`: of the whole tensors, for each fire; `over`: nodes of which each fire may write over the rows of its
    first input; `copied`: bytes that are copied from fresh bands to rings."""

    acts: tuple[tuple[Act, str, int, int], ...]
    rings: dict[str, int]
    fresh: dict[str, int]
    whole: tuple[str, ...]
    sums: tuple[str, ...]
    nodes: tuple[int, ...]
    sizes: dict[Key, int]
    live: tuple[int, ...]
    extents: dict[str, tuple[Extent, ...]]
    over: dict[int, tuple[Key, Key]]
    copied: int

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """What happens, in its order."""
        return tuple(Event(*act) for act in self.acts)

    def loads(self, in_place: Sequence[int] = ()) -> dict[int, int]:
        """For each node the most bytes in use at its fires, without its working memory; each buffer is rounded up to 8.
        ``in_place``: nodes, of those in ``over``, that write over their input."""
        groups = [(sum(1 << bit for bit in group), size) for group, size in self._groups(in_place)]
        known: dict[int, int] = {}
        found: dict[int, int] = {}
        for node, live, wholes in set(zip(self.nodes, self.live, self._whole_bytes, strict=True)):
            if live not in known:
                known[live] = sum([size for bits, size in groups if bits & live])
            found[node] = max(found.get(node, 0), known[live] + wholes)
        return found

    def groups(self, in_place: Sequence[int] = ()) -> list[list[Key]]:
        """The buffers, those that share memory together."""
        keys = list(self.sizes)
        return [[keys[bit] for bit in group] for group, _ in self._groups(in_place)]

    def _groups(self, in_place: Sequence[int]) -> list[tuple[list[int], int]]:
        """By their bits, and the size of each group rounded up to 8."""
        bits = {key: bit for bit, key in enumerate(self.sizes)}
        homes = [[bit] for bit in range(len(bits))]
        for node in in_place:
            source, output = (homes[bits[key]] for key in self.over[node])
            source += output
            for bit in output:
                homes[bit] = source
        sizes = [aligned(size) for size in self.sizes.values()]
        return [(group, max(sizes[bit] for bit in group)) for bit, group in enumerate(homes) if group[0] == bit]

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
    return node.operator.op == "average_pool2d" and window == RowWindow(rows, window.stride if window else 1)


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
        self.made = self.fresh = self.stop = 0  # rows before `stop` have been in the ring
        self.ring = self.band = 0
        self.bits: dict[str, int] = {}

    @cached_property
    def passes_on(self) -> bool:
        """Whether each row goes to one consumer that needs nothing else of the tensor for it: there is no ring then."""
        return len(self.consumers) == 1 and self.consumers[0].window == RowWindow() and self.consumers[0].arity == 1

    @cached_property
    def stays(self) -> bool:
        """Whether some of its rows may have to be kept."""
        return not self.passes_on and not self.pushed and not self.whole

    def low(self) -> int:
        """The first row that is needed from now on."""
        return min([worker.low for worker in self.consumers], default=self.height)

    def wanted(self) -> bool:
        """Whether a node is about to read it."""
        return any([worker.ready() for worker in self.consumers])  # noqa: C419, faster

    def fits(self) -> bool:
        """Whether the ring as it is takes all that is still needed, so that nobody has to wait for the fresh band."""
        return self.made - self.low() <= self.ring


class _Worker:
    """One node: ``next``: the row that it computes next; of one that sums up, the row that it adds next. ``low`` and
    ``stop``: the rows that it needs for it; ``count``: how many rows it computes then."""

    def __init__(self, graph: Graph, index: int, band: int) -> None:
        node = graph.nodes[index]
        window = row_window(graph, index)
        assert window is not None
        self.index, self.name, self.window, self.band = index, node.name, window, band
        self.first_input = node.inputs[0]
        self.once = node.inputs.count(node.inputs[0]) == 1
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

    def ready(self) -> bool:
        """Whether it can compute its next rows."""
        if self.sums:  # all that there are
            self.count = self.inputs[0].made - self.next
        if not self.count:
            return False
        return self.sums or all([rows.made >= self.stop or rows.made == rows.height for rows in self.inputs])  # noqa: C419, faster


class _Simulation:
    """Runs the rows through, and notes what happens and what is in memory."""

    def __init__(
        self, graph: Graph, nodes: Sequence[int], bands: Mapping[int, int], pushed: bool, needed: frozenset[str]
    ) -> None:
        self.acts: list[tuple[Act, str, int, int]] = []
        self.nodes: list[int] = []
        self.live: list[int] = []
        self.held, self.copied = 0, 0
        self.keys: list[Key] = []
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
            self._drain(max(worker.position for worker in source.consumers))
            self._keep(source)  # the caller's row is gone after this
        assert all(worker.next == worker.end for worker in self.workers)
        tensors = self.tensors.values()
        return Schedule(
            acts=tuple(self.acts),
            rings={rows.name: rows.ring for rows in tensors if rows.ring},
            fresh={rows.name: rows.band for rows in tensors if not rows.whole and not rows.pushed},
            whole=tuple(rows.name for rows in tensors if rows.whole),
            sums=tuple(worker.name for worker in self.workers if worker.sums),
            nodes=tuple(self.nodes),
            sizes={key: self._size(key) for key in self.keys},
            live=tuple(self.live),
            extents={rows.name: tuple(each) for rows, each in zip(self.wholes, self.extents, strict=True)},
            over={worker.index: self._overlaid(worker) for worker in self.workers if worker.over},
            copied=self.copied,
        )

    def _drain(self, start: int) -> None:
        """Compute what can be computed; nothing behind worker number ``start`` can."""
        while start >= 0:
            worker = self.workers[start]
            if not worker.ready():
                start -= 1
                continue
            self._fire(worker)
            for rows in (*worker.inputs, worker.output):
                if rows.fresh < rows.made and rows.stays and (rows.fits() or not rows.wanted()):
                    self._keep(rows)
            start = max([start, *[each.position for each in worker.output.consumers]])

    def _fire(self, worker: _Worker) -> None:
        output, count = worker.output, worker.count
        if not worker.sums and output.made - output.fresh + count > output.band:
            self._keep(output)
        self.acts.append((Act.FIRE, worker.name, worker.next, count))
        self.nodes.append(worker.index)
        first = self.tensors[worker.first_input]
        alone = (first.fresh, first.made) == (worker.next, worker.next + count)
        alone = alone and worker.next % max(first.band, output.band) == 0 and first.band == output.band
        lows = [rows.low() if rows.dies else 0 for rows in self.wholes]  # before: these rows are read now
        worker.advance(count)
        if worker.sums:
            self.held |= self._bit("sums", output, worker.name)
            output.made = int(worker.next == worker.end)
        else:
            output.made += count
        if not output.whole and output.made > output.fresh:
            self.held |= self._bit("fresh", output, output.name)
        self.live.append(self.held)
        for rows, low, extents in zip(self.wholes, lows, self.extents, strict=True):
            extents.append(Extent(low * rows.row_bytes, rows.made * rows.row_bytes))
        if worker.sums and output.made:
            self.held &= ~self._bit("sums", output, worker.name)
        for rows in worker.inputs:
            low = rows.low()
            if rows.bits.get("ring") and low >= rows.stop:
                self.held &= ~rows.bits["ring"]
            if rows.passes_on and low >= rows.made:
                self._release(rows)
        same = aligned(output.band * output.row_bytes) == aligned(first.band * first.row_bytes)
        lost = first.low() >= first.made and not first.whole and not first.pushed and not output.whole
        worker.over = worker.over and worker.once and not worker.sums and alone and same and lost

    def _release(self, rows: _Rows) -> None:
        """Its fresh band is free."""
        rows.fresh = rows.made
        self.held &= ~rows.bits.get("fresh", 0)

    def _keep(self, rows: _Rows) -> None:
        """Let go of a fresh band: what is needed later goes to the ring."""
        low = rows.low()
        first, stop = max(low, rows.fresh), rows.made
        if rows.whole:
            rows.fresh = stop
            return
        self._release(rows)
        if first >= stop:
            return
        self.acts.append((Act.KEEP, rows.name, first, stop - first))
        rows.stop = stop
        rows.ring = max(rows.ring, stop - min(low, first))
        bit = self._bit("ring", rows, rows.name)
        self.held |= bit
        if self.live:
            self.live[-1] |= bit  # others that are kept after the same fire are still there
        self.copied += (stop - first) * rows.row_bytes

    def _bit(self, kind: str, rows: _Rows, name: str) -> int:
        """The bit of a buffer."""
        if kind not in rows.bits:
            rows.bits[kind] = 1 << len(self.keys)
            self.keys.append(Key(kind, name))
        return rows.bits[kind]

    def _size(self, key: Key) -> int:
        if key.kind == "sums":
            return next(4 * worker.output.row_bytes for worker in self.workers if worker.name == key.name)
        rows = self.tensors[key.name]
        return rows.row_bytes * (rows.ring if key.kind == "ring" else rows.band)

    def _overlaid(self, worker: _Worker) -> tuple[Key, Key]:
        return Key("fresh", worker.first_input), Key("fresh", worker.output.name)
