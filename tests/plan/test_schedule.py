"""Schedules: every row in time, in rings as large as said, and as if the whole image had been there."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnrules.graph.ir import Graph, Node
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.plan.arena import assign_offsets
from nnrules.plan.lifetimes import Buffer, Piece
from nnrules.plan.schedule import Key, Schedule, schedule
from tests.cases.graphs import graphs, row_graphs

GONE = 99  # what is in a row's place once it may be used for other rows


class Machine:
    """Walks along a schedule in numpy, with rings and bands of the sizes that it says, in an arena as the packing has
    it; nodes ``in_place`` write over what they read."""

    def __init__(self, graph: Graph, plan: Schedule, x: np.ndarray, in_place: Sequence[int]) -> None:
        self.graph, self.plan, self.x = graph, plan, x
        self.nodes = {node.name: node for node in graph.nodes}
        self.places, size = placed(plan, in_place)
        self.fires = 0
        self.arena = np.full(size, GONE, np.int8)
        self.rings = {name: self.at(Key("ring", name), (rows, *self.row(name))) for name, rows in plan.rings.items()}
        self.fresh = {name: self.at(Key("fresh", name), (rows, *self.row(name))) for name, rows in plan.fresh.items()}
        self.whole = {name: self.at(Key("whole", name), graph.tensors[name].shape) for name in plan.whole}
        self.made: dict[str, int] = dict.fromkeys((*plan.fresh, *plan.whole), 0)
        self.first: dict[str, int] = dict.fromkeys(plan.fresh, 0)
        self.sums: dict[str, list[np.ndarray]] = {name: [] for name in plan.sums}

    def at(self, key: Key, shape: tuple[int, ...]) -> np.ndarray:
        offset = self.places[key]
        return self.arena[offset : offset + int(np.prod(shape))].reshape(shape)

    def row(self, name: str) -> tuple[int, ...]:
        shape = self.graph.tensors[name].shape
        return shape[1:] if len(shape) == 3 else shape

    def height(self, name: str) -> int:
        shape = self.graph.tensors[name].shape
        return shape[0] if len(shape) == 3 else 1

    def read(self, name: str, row: int) -> np.ndarray:
        if name in self.whole:
            return self.whole[name].reshape(self.height(name), *self.row(name))[row]
        if name not in self.fresh:  # pushed
            pushed = self.made.get(name, 0) - 1
            return self.x[row] if row == pushed else self.rings[name][row % len(self.rings[name])]
        if row >= self.first[name]:
            return self.fresh[name][row - self.first[name]]
        return self.rings[name][row % len(self.rings[name])]

    def run(self) -> dict[str, np.ndarray]:
        """All tensors that are whole at the end."""
        for event in self.plan.events:
            getattr(self, event.act.value)(event.name, event.first, event.count)
        return self.whole

    def push(self, name: str, first: int, count: int) -> None:
        assert (first, count) == (self.made.setdefault(name, 0), 1)
        self.made[name] += 1

    def spoil(self) -> None:
        """Write over all memory that is in nobody's hands during the next fire."""
        mine = np.zeros(len(self.arena), bool)
        for bit, (key, size) in enumerate(self.plan.sizes.items()):
            if self.plan.live[self.fires] >> bit & 1:
                mine[self.places[key] : self.places[key] + size] = True
        for name, extents in self.plan.extents.items():
            low, high = extents[self.fires]
            place = self.places[Key("whole", name)]
            mine[place + low : place + high] = True
        self.arena[~mine] = GONE

    def keep(self, name: str, first: int, count: int) -> None:
        ring = self.rings[name]
        for row in range(first, first + count):
            ring[row % len(ring)] = self.read(name, row)
        if name in self.fresh:
            self.first[name] = self.made[name]

    def fire(self, name: str, first: int, count: int) -> None:
        node = self.nodes[name]
        self.spoil()
        self.fires += 1
        if name in self.plan.sums:
            self.sums[name] += [self.read(node.inputs[0], row).copy() for row in range(first, first + count)]
            if first + count == self.height(node.inputs[0]):
                self.write(node.output, node.operator.reference(np.array(self.sums[name])[np.newaxis])[0])
            return
        assert first == self.made[node.output]
        window = node.operator.row_window(*self.graph.shapes(node))
        assert window is not None
        if window.kernel == 1 and window.stride == 1 and not window.pad:
            rows = range(first, first + count)
            operands = [np.array([self.read(each, row) for row in rows])[np.newaxis] for each in node.inputs]
            self.write(node.output, within(node, None).reference(*operands)[0])
            return
        height = self.height(node.inputs[0])
        start = first * window.stride - window.pad
        rows = range(start, start + (count - 1) * window.stride + (window.kernel - 1) * window.dilation + 1)
        outside = np.full(self.row(node.inputs[0]), padding(node), np.int8)
        seen = [self.read(node.inputs[0], row) if 0 <= row < height else outside for row in rows]
        self.write(node.output, within(node, window).reference(np.array(seen)[np.newaxis])[0])

    def write(self, name: str, rows: np.ndarray) -> None:
        made, count = self.made[name], len(rows)
        if name in self.whole:
            self.whole[name].reshape(self.height(name), *self.row(name))[made : made + count] = rows
        else:
            band = self.fresh[name]
            if made % len(band) == 0:
                self.first[name] = made
            assert made - self.first[name] + count <= len(band)
            band[made - self.first[name] : made - self.first[name] + count] = rows
        self.made[name] += count


def placed(plan: Schedule, in_place: Sequence[int]) -> tuple[dict[Key, int], int]:
    """Where each buffer lies, and how much that takes."""
    keys, buffers = [], []
    bits = {key: bit for bit, key in enumerate(plan.sizes)}
    for group in plan.groups(in_place):
        held = [sum(1 << fire for fire, live in enumerate(plan.live) if live >> bits[key] & 1) for key in group]
        keys.append(group)
        pieces = [Piece(steps, 0, plan.sizes[key]) for steps, key in zip(held, group, strict=True)]
        buffers.append(Buffer(["rows"], pieces))
    for name, extents in plan.extents.items():
        keys.append([Key("whole", name)])
        buffers.append(Buffer([name], [Piece(1 << fire, *extent) for fire, extent in enumerate(extents)]))
    offsets, size = assign_offsets(buffers)
    places = {key: offset for group, offset in zip(keys, offsets, strict=True) for key in group}
    return places, size


def within(node: Node, window: object) -> Any:
    """The operator without padding above and below."""
    geometry = getattr(node.operator, "geometry", None)
    if geometry is None or (window is None and not any(geometry.padding[::2])):
        return node.operator
    _, left, _, right = geometry.padding
    return msgspec.structs.replace(
        node.operator, geometry=msgspec.structs.replace(geometry, padding=(0, left, 0, right))
    )


def padding(node: Node) -> int:
    return -128 if isinstance(node.operator, MaxPool2d) else getattr(node.operator, "x_zero_point", 0)


def parts(graph: Graph) -> list[range]:
    """All runs of nodes that can pass rows on, those from the input on first."""
    ends = [(a, b) for a in range(len(graph.nodes)) for b in range(a + 1, len(graph.nodes) + 1)]
    return [range(a, b) for a, b in ends if schedule(graph, range(a, b), {}, a == 0) is not None]


@settings(max_examples=400, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(graphs(), row_graphs()), st.integers(0, 2**32), st.data())
def test_a_part_run_by_rows_gives_what_the_whole_gives(graph: Graph, lot: int, data: st.DataObject) -> None:
    chance = np.random.default_rng(lot)
    x = [chance.integers(-128, 128, graph.tensors[name].shape).astype(np.int8) for name in graph.inputs]
    expected = graph.run(*(each[np.newaxis] for each in x))
    possible = parts(graph)
    if not possible:
        return
    part = data.draw(st.sampled_from(sorted(possible, key=len)[-4:]))
    bands = {index: data.draw(st.sampled_from([1, 2, 4])) for index in part}
    plan = schedule(graph, part, bands, part.start == 0 and len(graph.inputs) == 1, frozenset(graph.tensors))
    free = schedule(graph, part, bands, part.start == 0 and len(graph.inputs) == 1)
    assert plan is not None
    assert free is not None
    assert plan.acts == free.acts
    machine = Machine(graph, free, x[0], data.draw(st.sampled_from([(), tuple(free.over)])))
    made = {graph.nodes[index].output for index in part}
    for name in set(plan.whole) - made:
        machine.whole[name][:] = expected[name][0]
    for name, values in machine.run().items():
        if name in made:
            np.testing.assert_array_equal(values, expected[name][0], err_msg=name)
