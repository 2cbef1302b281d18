"""Schedules: every row in time, in rings as large as said, and as if the whole image had been there."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.concat import Concat
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.requant import Requantization
from nnrules.plan.arena import assign_offsets
from nnrules.plan.lifetimes import Buffer, Piece
from nnrules.plan.schedule import Act, Key, Schedule, schedule
from tests.cases.graphs import graphs, row_graphs

Steps = list[tuple[str, tuple[str, ...], Operator]]
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
        for bit, place in enumerate(self.plan.places):
            if self.plan.live[self.fires] >> bit & 1:
                start = self.places[place.key]
                mine[start + place.low : start + place.high] = True
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
    for group in plan.groups(in_place):
        keys.append(group)
        mine = [(place, held) for place, held in zip(plan.places, plan.held, strict=True) if place.key in group]
        pieces = [Piece(held, place.low, place.high) for place, held in mine]
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


@settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(graphs(), row_graphs()), st.integers(0, 2**32), st.data())
def test_a_part_run_by_rows_gives_what_the_whole_gives(graph: Graph, lot: int, data: st.DataObject) -> None:
    possible = parts(graph)
    if not possible:
        return
    part = data.draw(st.sampled_from(sorted(possible, key=len)[-4:]))
    bands = {index: data.draw(st.sampled_from([1, 2, 4])) for index in part}
    check(graph, part, bands, lot, data.draw(st.booleans()))


def check(graph: Graph, part: range, bands: dict[int, int], lot: int = 0, overwriting: bool = False) -> None:
    """The part by rows gives what the whole gives; ``overwriting``: what may be written in place is."""
    chance = np.random.default_rng(lot)
    x = [chance.integers(-128, 128, graph.tensors[name].shape).astype(np.int8) for name in graph.inputs]
    expected = graph.run(*(each[np.newaxis] for each in x))
    plan = schedule(graph, part, bands, part.start == 0 and len(graph.inputs) == 1, frozenset(graph.tensors))
    free = schedule(graph, part, bands, part.start == 0 and len(graph.inputs) == 1)
    assert plan is not None
    assert free is not None
    assert plan.acts == free.acts
    machine = Machine(graph, free, x[0], tuple(free.over) if overwriting else ())
    made = {graph.nodes[index].output for index in part}
    for name in set(plan.whole) - made:
        machine.whole[name][:] = expected[name][0]
    for name, values in machine.run().items():
        if name in made:
            np.testing.assert_array_equal(values, expected[name][0], err_msg=name)


def chain(shape: tuple[int, int, int], *operators: Operator) -> Graph:
    """One after the other."""
    tensors, nodes = {"x": Tensor(name="x", shape=shape, scale=1.0, zero_point=0)}, []
    for number, operator in enumerate(operators):
        source, name = [*tensors][-1], f"t{number}"
        shape = operator.infer(tensors[source].shape)
        tensors[name] = Tensor(name=name, shape=shape, scale=1.0, zero_point=0)
        nodes.append(Node(name=name, inputs=(source,), output=name, operator=operator))
    return Graph(name="chain", inputs=("x",), outputs=(f"t{len(nodes) - 1}",), tensors=tensors, nodes=tuple(nodes))


def network(inputs: dict[str, Shape], steps: Steps, outputs: tuple[str, ...]) -> Graph:
    """Layers, each named as what it makes."""
    tensors = {name: Tensor(name=name, shape=shape, scale=1.0, zero_point=0) for name, shape in inputs.items()}
    for name, sources, operator in steps:
        shape = operator.infer(*(tensors[source].shape for source in sources))
        tensors[name] = Tensor(name=name, shape=shape, scale=1.0, zero_point=0)
    nodes = tuple(Node(name=name, inputs=sources, output=name, operator=operator) for name, sources, operator in steps)
    return Graph(name="net", inputs=(*inputs,), outputs=outputs, tensors=tensors, nodes=nodes)


def average(rows: int, below: int = 0, stride: int = 1) -> AveragePool2d:
    """Of so many rows, with some below the image."""
    geometry = Geometry(kernel=(rows, 1), stride=(stride, 1), padding=(0, 0, below, 0))
    rule = AveragePool2d.multipliers(geometry, True, 1.0, (0, -128, 127), "pool")
    return AveragePool2d(geometry=geometry, count_include_pad=True, x_zero_point=3, requantization=rule)


LARGEST = MaxPool2d(geometry=Geometry(kernel=(3, 3), padding=(1, 1, 1, 1)))


@pytest.mark.parametrize("bands", [1, 2, 4])
@pytest.mark.parametrize(
    ("operators", "sums"),
    [
        ((LARGEST, average(5, below=1), LARGEST), ()),  # two rows
        ((LARGEST, average(5, below=1, stride=2), LARGEST), ("t1",)),  # the row below is not read
        ((LARGEST, average(5), LARGEST), ("t1",)),  # a sum of which rows are read
        ((average(5), average(1), LARGEST), ("t0", "t1")),
    ],
)
def test_averages_of_all_rows_are_summed_up(operators: tuple[Operator, ...], sums: tuple[str, ...], bands: int) -> None:
    graph = chain((5, 4, 3), *operators)
    part = range(len(graph.nodes))
    for overwriting in (False, True):
        check(graph, part, dict.fromkeys(part, bands), overwriting=overwriting)
    found = schedule(graph, part, {}, True)
    assert found is not None
    assert found.sums == sums


def test_a_place_in_a_ring_is_free_once_its_row_has_been_read() -> None:
    """What is behind the pooling runs when one row of two is still needed."""
    pool = MaxPool2d(geometry=Geometry(kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)))
    found = schedule(chain((8, 4, 2), LARGEST, pool, LARGEST), range(3), {}, True)
    assert found is not None
    ring = [bit for bit, place in enumerate(found.places) if place.key == Key("ring", "t0")]
    assert [found.places[bit][1:] for bit in ring] == [(0, 8), (8, 16)]
    lives = [(node, *(live >> bit & 1 for bit in ring)) for node, live in zip(found.nodes, found.live, strict=True)]
    assert lives[:8] == [(0, 1, 0), (0, 1, 0), (1, 1, 1), (0, 1, 1), (0, 1, 1), (1, 1, 1), (2, 0, 1), (0, 1, 1)]
    assert {life for life in lives if life[0] == 2} == {(2, 0, 1), (2, 0, 0)}  # the last one at the image's end
    assert [found.loads()[node] for node in (1, 2)] == [64, 48]


def test_what_others_have_to_catch_up_with_is_computed_last() -> None:
    """A shortcut around two layers: two of its rows are kept, not three, whichever branch comes first."""
    halved = MaxPool2d(geometry=Geometry(kernel=(3, 3), stride=(2, 2), padding=(0, 0, 1, 1)))
    shortcut = MaxPool2d(geometry=Geometry(kernel=(1, 1), stride=(2, 2)))
    tensors = {name: Tensor(name=name, shape=(8, 8, 2), scale=1.0, zero_point=0) for name in ("x", "t")}
    tensors |= {name: Tensor(name=name, shape=(4, 4, 2), scale=1.0, zero_point=0) for name in ("a", "b", "s")}
    tensors["y"] = Tensor(name="y", shape=(4, 4, 4), scale=1.0, zero_point=0)
    same = Requantization(np.full(2, 2**30, np.int32), np.full(2, 2, np.uint8), 0, -128, 127)
    joined = Concat(axis=2, x_zero_points=(0, 0), requantization=same)
    ends = ("t", ("x",), LARGEST), ("y", ("b", "s"), joined)
    branches = [("a", ("t",), halved), ("b", ("a",), LARGEST)], [("s", ("t",), shortcut)]
    for first, second in (branches, branches[::-1]):
        nodes = tuple(
            Node(name=name, inputs=inputs, output=name, operator=operator)
            for name, inputs, operator in (ends[0], *first, *second, ends[1])
        )
        graph = Graph(name="residual", inputs=("x",), outputs=("y",), tensors=tensors, nodes=nodes)
        found = schedule(graph, range(5), {}, True)
        assert found is not None
        assert found.rings["s"] == 2
        check(graph, range(5), {})


TABLE = Lookup(table=np.arange(127, -129, -1, dtype=np.int8))


def residual(rows: int) -> Graph:
    """Two layers that see row by row, and a shortcut around them."""
    same = Requantization(np.full(2, 2**30, np.int32), np.full(2, 2, np.uint8), 0, -128, 127)
    both = Concat(axis=2, x_zero_points=(0, 0), requantization=same)
    steps: Steps = [("t", ("x",), LARGEST), ("a", ("t",), TABLE), ("b", ("a",), TABLE), ("y", ("t", "b"), both)]
    return network({"x": (rows, 4, 2)}, steps, ("y",))


def test_a_row_that_others_need_is_not_written_over() -> None:
    """Both layers could write over what they read; the first one's rows are read again. They are fresh until they have
    been, where the image has one row."""
    for rows in (6, 1):
        graph = residual(rows)
        found = schedule(graph, range(4), {}, True)
        assert found is not None
        assert found.over == {2: (Key("fresh", "a"), Key("fresh", "b"))}
        check(graph, range(4), {}, overwriting=True)


@pytest.mark.parametrize("tables", [1, 2])
@pytest.mark.parametrize("rows", [4, 5, 8])
def test_rows_that_are_not_kept_yet_are_not_written_over(rows: int, tables: int) -> None:
    """What a layer wrote over what it read lies where the next rows of that will be; two branches, of which one is
    behind, read it. So with a second layer that wrote over it in turn."""
    down = MaxPool2d(geometry=Geometry(kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)))
    shortcut = MaxPool2d(geometry=Geometry(kernel=(1, 1), stride=(2, 2)))
    same = Requantization(np.full(2, 2**30, np.int32), np.full(2, 2, np.uint8), 0, -128, 127)
    both = Concat(axis=2, x_zero_points=(0, 0), requantization=same)
    steps: Steps = [("s", ("x",), LARGEST), ("a", ("s",), LARGEST), ("b0", ("a",), TABLE), ("b1", ("b0",), TABLE)]
    last = f"b{tables - 1}"
    steps = [*steps[: 2 + tables], ("d", (last,), down), ("e", ("d",), LARGEST), ("h", (last,), shortcut)]
    graph = network({"x": (rows, 4, 2)}, [*steps, ("y", ("e", "h"), both)], ("y",))
    for band in (1, 2):
        check(graph, range(len(graph.nodes)), {1: band}, overwriting=True)
    if (rows, tables) == (8, 1):
        found = schedule(graph, range(len(graph.nodes)), {}, True)
        assert found is not None
        assert set(found.over) == {2}, "nothing is in the way where no branch is behind"


def test_rows_go_to_a_ring_that_has_room_at_once() -> None:
    """Once it is known how many rows a ring has, a band is free for others before its rows are read."""
    found = schedule(residual(3), range(4), {}, True)
    assert found is not None
    (bit,) = (bit for bit, place in enumerate(found.places) if place.key == Key("fresh", "t"))
    lives = [(node, live >> bit & 1) for node, live in zip(found.nodes, found.live, strict=True)]
    row = [(1, 0), (2, 0), (3, 0)]
    assert lives == [(0, 1), (1, 1), *row[1:], (0, 1), *row, (0, 1), *row]


def test_rows_that_are_read_together_lie_together() -> None:
    """Made one by one for a layer that computes two at a time."""
    found = schedule(chain((5, 4, 2), LARGEST, TABLE), range(2), {0: 1, 1: 2}, True)
    assert found is not None
    assert (found.fresh, found.rings, found.copied) == ({"t0": 2}, {"x": 2}, 4 * 8)
    fires = [event for event in found.events if event.act is Act.FIRE]
    assert [(each.name, each.first, each.count) for each in fires[:3]] == [("t0", 0, 1), ("t0", 1, 1), ("t1", 0, 2)]


def test_what_is_needed_afterwards_does_not_die() -> None:
    """By the caller, by a later layer, or as somebody says; else it dies row by row."""
    for outputs, reads, needed, lows in (
        (("y",), "u", (), [0, 0, 8, 16]),
        (("y",), "u", ("t",), [0, 0, 0, 0]),
        (("y",), "t", (), [0, 0, 0, 0]),
        (("t", "y"), "u", (), [0, 0, 0, 0]),
    ):
        steps: Steps = [("t", ("x",), LARGEST), ("u", ("t",), LARGEST), ("y", (reads,), LARGEST)]
        graph = network({"x": (4, 4, 2)}, steps, outputs)
        found = schedule(graph, range(1, 2), {}, False, frozenset(needed))
        assert found is not None
        assert [extent.low for extent in found.extents["t"]] == lows
