"""Rows through a part of the graph: which rows are computed when, and which rows are kept meanwhile.

A part is a run of nodes that pass rows on. Each computes a band of a few rows at a time; the deepest node that has
what it needs goes first, so that rows are used as soon as they are there and nothing is computed twice. What a node
makes lies in a *fresh* band, whose memory others may use once it is read; rows that are needed later are kept in a ring
of the tensor's own. The order follows from the shapes alone: it is found here, once, and the C walks along it.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cached_property

import msgspec

from nnrules.graph.ir import Graph
from nnrules.graph.operator import RowWindow


class Act(Enum):
    """`push`: the next row of the model's input is there. `fire`: a node computes its next rows. `keep`: rows of a
    fresh band are copied to the ring of their tensor."""

    PUSH = "push"
    FIRE = "fire"
    KEEP = "keep"


class Event(msgspec.Struct, frozen=True):
    """`name`: of a node that fires, else of a tensor; rows ``first`` to ``first + count - 1``, of the output where a
    node fires (of its input where it sums up a whole image)."""

    act: Act
    name: str
    first: int
    count: int


class Life(msgspec.Struct):
    """A buffer: its size in bytes and, as the bits of a number, the events of kind `fire` during which it is held."""

    bytes: int = 0
    held: int = 0


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """`rings`, `fresh`: rows of each tensor's ring and fresh band; `whole`: tensors that are in memory in one piece;
    `sums`: nodes that sum up a whole image; `lives`: of the buffers, by ("ring" | "fresh" | "whole", tensor) and
    ("sums" | "scratch", node); `copied`: bytes that are copied from fresh bands to rings."""

    events: tuple[Event, ...]
    rings: dict[str, int]
    fresh: dict[str, int]
    whole: tuple[str, ...]
    sums: tuple[str, ...]
    lives: dict[tuple[str, str], Life]
    copied: int

    @property
    def live_bytes(self) -> int:
        """The most that is held at once, each buffer rounded up to 8."""
        fires = sum(event.act is Act.FIRE for event in self.events)
        held = [(-(-life.bytes // 8) * 8, life.held) for life in self.lives.values()]
        return max((sum(size for size, bits in held if bits >> step & 1) for step in range(fires)), default=0)


def schedule(
    graph: Graph, nodes: Sequence[int], bands: Mapping[int, int], scratch: Mapping[int, int], pushed: bool
) -> Schedule | None:
    """The schedule of these nodes (indices, ascending), None where one of them cannot pass rows on, or where the input
    cannot be pushed: there are several, or others than these nodes need its rows too.

    ``bands``: rows that a node computes at a time (else 1, and fewer at an image's end); ``scratch``: bytes
    of a node's working memory meanwhile; ``pushed``: the model's input comes row by row, else it is in memory.
    """
    others = {name for index, node in enumerate(graph.nodes) if index not in nodes for name in node.inputs}
    if any(_window(graph, index) is None for index in nodes):
        return None
    if pushed and (len(graph.inputs) > 1 or others & set(graph.inputs)):
        return None
    return _Simulation(graph, nodes, bands, scratch, pushed).run()


def sums_up(graph: Graph, index: int) -> bool:
    """Whether a node is an average over all rows of its input, which can be summed up as they arrive."""
    node = graph.nodes[index]
    window, height = _window(graph, index), _height(graph, node.inputs[0])
    return node.operator.op == "average_pool2d" and window == RowWindow(height, window.stride if window else 1)


def _window(graph: Graph, index: int) -> RowWindow | None:
    node = graph.nodes[index]
    return node.operator.row_window(*graph.shapes(node))


def _height(graph: Graph, tensor: str) -> int:
    """Rows of an image; a vector is one row."""
    shape = graph.tensors[tensor].shape
    return shape[0] if len(shape) == 3 else 1


class _Rows:
    """One tensor on its way: rows below ``made`` are there or were, those from ``fresh`` on in its fresh band."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.name = name
        self.height = _height(graph, name)
        self.row_bytes = graph.tensors[name].bytes // self.height
        self.consumers: list[_Worker] = []
        self.whole = self.pushed = False
        self.made = self.fresh = 0
        self.kept = range(0)
        self.ring = self.band = 0

    @cached_property
    def passes_on(self) -> bool:
        """Whether each row goes to one consumer that needs nothing else of the tensor for it: there is no ring then."""
        return len(self.consumers) == 1 and self.consumers[0].window == RowWindow() and self.consumers[0].arity == 1

    def low(self) -> int:
        """The first row that is needed from now on."""
        return min((worker.low(self) for worker in self.consumers), default=self.height)


class _Worker:
    """One node: ``next``: the row that it computes next; of one that sums up, the row that it adds next."""

    def __init__(self, graph: Graph, index: int, band: int) -> None:
        node = graph.nodes[index]
        window = _window(graph, index)
        assert window is not None
        self.index, self.name, self.window, self.band = index, node.name, window, band
        self.arity = len(set(node.inputs))
        self.sums = sums_up(graph, index)
        self.inputs: list[_Rows] = []
        self.next = self.position = 0

    def connect(self, inputs: list[_Rows], output: _Rows) -> None:
        """Tell it where its rows come from and go to."""
        self.inputs, self.output = inputs, output
        for rows in inputs:
            rows.consumers.append(self)

    @property
    def end(self) -> int:
        """Rows that it has to go through."""
        return self.inputs[0].height if self.sums else self.output.height

    def low(self, rows: _Rows) -> int:
        """The first row of an input that it still needs."""
        if self.next >= self.end:
            return rows.height
        return self.next if self.sums else self.window.needed(self.next, 1, rows.height).start

    def ready(self) -> int:
        """How many rows it can go through now: a band or nothing."""
        if self.sums:
            return self.inputs[0].made - self.next
        count = min(self.band, self.end - self.next)
        there = all(self.window.needed(self.next, count, rows.height).stop <= rows.made for rows in self.inputs)
        return count if there else 0


class _Simulation:
    """Runs the rows through, and notes what happens and what is in memory."""

    def __init__(
        self, graph: Graph, nodes: Sequence[int], bands: Mapping[int, int], scratch: Mapping[int, int], pushed: bool
    ) -> None:
        self.scratch, self.events, self.fires, self.copied = scratch, list[Event](), 0, 0
        self.lives: dict[tuple[str, str], Life] = {}
        self.held: dict[tuple[str, str], int] = {}  # since when
        self.workers = [_Worker(graph, index, bands.get(index, 1)) for index in nodes]
        names = dict.fromkeys(name for i in nodes for name in (*graph.nodes[i].inputs, graph.nodes[i].output))
        self.tensors = {name: _Rows(graph, name) for name in names}
        for worker in self.workers:
            node = graph.nodes[worker.index]
            worker.position = self.workers.index(worker)
            worker.connect([self.tensors[name] for name in dict.fromkeys(node.inputs)], self.tensors[node.output])
        made = {graph.nodes[index].output for index in nodes}
        outside = {name for i, node in enumerate(graph.nodes) if i not in nodes for name in node.inputs}
        for name, rows in self.tensors.items():
            rows.pushed = pushed and name in graph.inputs
            rows.whole = not rows.pushed and (name not in made or name in outside or name in graph.outputs)
            if name not in made and rows.whole:
                rows.made = rows.fresh = rows.height
            consumer = rows.consumers[0].band if rows.passes_on else 1
            rows.band = max([w.band for w in self.workers if w.output is rows], default=1)
            rows.band = 1 if rows.pushed else min(max(rows.band, consumer), rows.height)

    def run(self) -> Schedule:
        """From the first row to the last."""
        for rows in self.tensors.values():
            if rows.whole and rows.made:
                self._hold("whole", rows.name, rows.row_bytes * rows.height)
        self._drain(len(self.workers) - 1)
        source = next((rows for rows in self.tensors.values() if rows.pushed), None)
        while source is not None and source.made < source.height:
            self.events.append(Event(Act.PUSH, source.name, source.made, 1))
            source.made += 1
            self._drain(max(worker.position for worker in source.consumers))
            self._keep(source)  # the caller's row is gone after this
        assert all(worker.next == worker.end for worker in self.workers)
        for kind, name in list(self.held):
            self._let_go(kind, name)
        tensors = self.tensors.values()
        return Schedule(
            events=tuple(self.events),
            rings={rows.name: rows.ring for rows in tensors if rows.ring},
            fresh={rows.name: rows.band for rows in tensors if not rows.whole and not rows.pushed},
            whole=tuple(rows.name for rows in tensors if rows.whole),
            sums=tuple(worker.name for worker in self.workers if worker.sums),
            lives={key: self._sized(key, life) for key, life in self.lives.items()},
            copied=self.copied,
        )

    def _drain(self, start: int) -> None:
        """Compute what can be computed; nothing behind worker number ``start`` can."""
        while start >= 0:
            worker = self.workers[start]
            count = worker.ready()
            if not count:
                start -= 1
                continue
            self._fire(worker, count)
            for rows in (*worker.inputs, worker.output):
                if not rows.passes_on and not rows.pushed and not any(each.ready() for each in rows.consumers):
                    self._keep(rows)
            start = max([start, *(each.position for each in worker.output.consumers)])

    def _fire(self, worker: _Worker, count: int) -> None:
        output = worker.output
        if not worker.sums and output.made - output.fresh + count > output.band:
            self._keep(output)
        self.events.append(Event(Act.FIRE, worker.name, worker.next, count))
        worker.next += count
        if not worker.sums:
            output.made += count
        elif worker.next == worker.end:
            output.made = 1
        if worker.sums:
            self._hold("sums", worker.name, 4 * output.row_bytes)
        if output.made and output.whole:
            self._hold("whole", output.name, output.row_bytes * output.height)
        elif output.made > output.fresh:
            self._hold("fresh", output.name, output.row_bytes * output.band)
        if size := self.scratch.get(worker.index):
            self._hold("scratch", worker.name, size)
        self.fires += 1
        self._let_go("scratch", worker.name)
        if output.made and worker.sums:
            self._let_go("sums", worker.name)
        for rows in worker.inputs:
            low = rows.low()
            rows.kept = range(max(rows.kept.start, min(low, rows.kept.stop)), rows.kept.stop)
            if not rows.kept:
                self._let_go("ring", rows.name)
            if rows.passes_on and low >= rows.made:
                rows.fresh = rows.made
                self._let_go("fresh", rows.name)

    def _keep(self, rows: _Rows) -> None:
        """Let go of a fresh band: what is needed later goes to the ring."""
        low = rows.low()
        first, stop = max(low, rows.fresh), rows.made
        rows.fresh = rows.made
        if rows.whole:
            return
        self._let_go("fresh", rows.name)
        if first >= stop:
            return
        self.events.append(Event(Act.KEEP, rows.name, first, stop - first))
        start = min(low, first)
        rows.kept = range(start, stop)
        rows.ring = max(rows.ring, stop - start)
        self._hold("ring", rows.name, 0, max(self.fires - 1, 0))  # others that are kept after the same fire are still there
        self.copied += (stop - first) * rows.row_bytes

    def _hold(self, kind: str, name: str, size: int, since: int | None = None) -> None:
        """Memory is in use from the present fire on."""
        life = self.lives.setdefault((kind, name), Life())
        life.bytes = max(life.bytes, size)
        self.held.setdefault((kind, name), self.fires if since is None else since)

    def _let_go(self, kind: str, name: str) -> None:
        """It was in use up to the last fire."""
        since = self.held.pop((kind, name), None)
        if since is not None:
            self.lives[kind, name].held |= (1 << self.fires) - (1 << since)

    def _sized(self, key: tuple[str, str], life: Life) -> Life:
        """A ring's size is known at the end."""
        rows = self.tensors.get(key[1])
        return Life(rows.ring * rows.row_bytes, life.held) if key[0] == "ring" and rows else life
