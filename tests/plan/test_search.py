"""Cuts, bands and kernels against all that there are, on small graphs; what is counted is what the plan takes."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from nnrules.catalog.kernel import Kernel, load_kernel, load_kernels
from nnrules.graph.ir import Graph
from nnrules.graph.operator import Geometry, Shape
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.ops.reshape import Reshape
from nnrules.plan.costs import Costs
from nnrules.plan.flows import state_bytes
from nnrules.plan.lifetimes import Buffer, Memory, Piece, Stream, span, step_bytes
from nnrules.plan.parts import PART, SIZES, STEP, Parts
from nnrules.plan.schedule import aligned, schedule
from nnrules.plan.search import BANDS, Program, Search
from nnrules.plan.select import COPYING, Candidate, Offers
from tests.cases.graphs import row_graphs
from tests.plan.test_schedule import LARGEST, TABLE, Steps, average, chain, network

MOST = 3  # layers
KERNELS = {
    "small": ('isa = "portable"', 'scratch = "0"', 'cost = "7 * {size}"'),
    "fast": ('isa = "portable"', 'scratch = "{size} // 2 + 40"', 'cost = "3 * {size} + 100"', "in_place = true"),
}
MADE = {"conv2d": "out_h * out_w * out_c", "max_pool2d": "out_h * out_w * out_c", "lookup": "size", "add": "size"}
MADE |= {"average_pool2d": "out_h * out_w * out_c", "average_rows": "out_c"}
"""What the kernels here cost depends on how much they make."""


Looked = Callable[[Parts, int, int], Iterator[dict[int, int]]]


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kernel, ...]:
    """Two for each operator: a slow one and one that takes memory."""
    folder = tmp_path_factory.mktemp("kernels")
    found = []
    for (op, size), (name, lines) in itertools.product(MADE.items(), KERNELS.items()):
        path = folder / f"{op}_{name}__portable.toml"
        path.with_name(f"{path.stem}.c.j2").touch()
        path.write_text("\n".join((f'op = "{op}"', *(line.format(size=size) for line in lines))))
        found.append(load_kernel(path))
    return tuple(found)


def parts(graph: Graph) -> Iterator[list[tuple[int, int]]]:
    """All cuts: first and last node of each part."""
    count = len(graph.nodes)
    for cuts in itertools.product((False, True), repeat=count - 1):
        ends = [index for index, cut in enumerate((*cuts, True)) if cut]
        yield list(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))


def uniform(make: Parts, first: int, last: int) -> Iterator[dict[int, int]]:
    """The bands that are looked at of every part."""
    for band in BANDS:
        yield make.uniform(first, last, *band)


def mixed(make: Parts, first: int, last: int) -> Iterator[dict[int, int]]:
    """All that can be."""
    nodes = range(first, last + 1)
    for sizes in itertools.product(SIZES, repeat=len(nodes)):
        yield make.bands(dict(zip(nodes, sizes, strict=True)))


def near(front: list[Program], make: Parts, first: int, last: int) -> Iterator[dict[int, int]]:
    """Those of `uniform`, those on the front, and those with other rows of one layer, or a layer more or less."""
    yield from uniform(make, first, last)
    for part in (each for program in front for each in program.segments if each.stream):
        ends, bands = (part.first, part.last), part.bands
        if ends == (first, last):
            yield bands
            yield from (make.bands({**bands, node: rows}) for node in bands for rows in SIZES)
        if abs(ends[0] - first) + abs(ends[1] - last) == 1:
            yield make.bands({node: bands.get(node, 1) for node in range(first, last + 1)})


def every(graph: Graph, offers: Offers, looked_at: Looked) -> Iterator[tuple[int, float]]:
    """Bytes in use and cost of all programs with all kernels."""
    make, seen = Parts(offers, []), set()
    for way in parts(graph):
        options = [[*looked_at(make, a, b), *([None] if a == b else [])] for a, b in way]
        for taken in itertools.product(*options):
            bands, streams, price = dict[int, int](), [], 0.0
            for (first, last), own in zip(way, taken, strict=True):
                if own is not None:
                    found = schedule(graph, list(own), own, first == 0) or schedule(graph, list(own), own, False)
                    if found is None:
                        break
                    bands |= own
                    streams.append(Stream(first, last, found))
                    price += found.copied * COPYING + PART + STEP * len(own)
            else:
                place = (*bands.items(), *((each.first, each.last) for each in streams))
                if place not in seen:
                    seen.add(place)
                    yield from kernels_for(graph, offers, bands, streams, price)


def kernels_for(
    graph: Graph, offers: Offers, bands: dict[int, int], streams: list[Stream], copied: float
) -> Iterator[tuple[int, float]]:
    """With all kernels; those that can work in place do."""
    choices = [offers.candidates(index, bands.get(index, 0))[0] or [None] for index in range(len(graph.nodes))]
    for taken in itertools.product(*choices):
        overwriting = [
            Stream(s.first, s.last, s.schedule, tuple(i for i in s.schedule.over if in_place(taken[i])))
            for s in streams
        ]
        instructions = sum(candidate.instructions for candidate in taken if candidate) + copied
        yield in_use(graph, taken, overwriting), instructions


def in_place(candidate: Candidate | None) -> bool:
    """Whether it may write over its input."""
    return candidate is not None and candidate.in_place


def in_use(graph: Graph, taken: tuple[Candidate | None, ...], streams: list[Stream]) -> int:
    """Bytes, from the lives of all buffers; of a ring those that are in use at any of a layer's turns."""
    memory = Memory(graph, taken, streams)
    rows = {id(buffer): buffer for buffer in memory.rows.values()}.values()
    state = [Buffer(["state"], [Piece(span(0, len(memory.nodes) - 1), 0, state_bytes(graph))])] if streams else []
    rings = [buffer for buffer in rows if buffer.tensors[0].endswith("(ring)")]
    others = [buffer for buffer in rows if buffer not in rings]
    steps = step_bytes([*memory.tensors, *memory.scratch.values(), *others, *state])
    steps += [0] * (len(memory.nodes) - len(steps))
    for ring, (step, node) in itertools.product(rings, enumerate(memory.nodes)):
        turns = sum(1 << turn for turn, other in enumerate(memory.nodes) if other == node)
        used = [piece for piece in ring.pieces if piece.held & turns]
        if ring.held >> step & 1:
            steps[step] += aligned(max(piece.high for piece in used)) - min(piece.low for piece in used) // 8 * 8
    return max(steps)


def known_and_small(graph: Graph) -> bool:
    """Whether there are kernels, and few enough programs."""
    return len(graph.nodes) <= MOST and {node.operator.op for node in graph.nodes} <= set(MADE)


def lowest(points: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """Those that none beats in both, from the fewest instructions to the least RAM."""
    front: list[tuple[int, float]] = []
    for size, cost in sorted((size, round(cost, 3)) for size, cost in points):
        if not front or cost < front[-1][1]:
            front.append((size, cost))
    return front[::-1]


def found(front: list[Program]) -> list[tuple[int, float]]:
    """Bytes and cost of programs."""
    return [(program.bytes, round(program.instructions + program.price, 3)) for program in front]


def searched(graph: Graph, kernels: tuple[Kernel, ...]) -> tuple[Offers, Search]:
    """With these kernels."""
    offers = Offers(graph, kernels, ("portable",), Costs())
    return offers, Search(offers, [candidate for candidate, _ in offers.select()[0]], state_bytes(graph))


FEW = settings(
    max_examples=25, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)


@FEW
@given(row_graphs().filter(known_and_small))
def test_the_front_is_that_of_all_programs(kernels: tuple[Kernel, ...], graph: Graph) -> None:
    offers, search = searched(graph, kernels)
    assert found(search.first_front) == lowest(every(graph, offers, uniform))


def test_what_works_in_place_may_take_more_than_it_saves(kernels: tuple[Kernel, ...]) -> None:
    """The fast kernels need 64 bytes for it, a row is of 48."""
    graph = chain((17, 6, 8), TABLE, TABLE, average(17))
    offers, search = searched(graph, kernels)
    front = lowest(every(graph, offers, uniform))
    assert found(search.first_front) == front
    least = search.first_front[-1].segments[0]
    assert least.stream is not None
    assert (least.stream.schedule.over.keys(), least.stream.in_place) == ({1}, ())


@FEW
@given(row_graphs().filter(known_and_small))
def test_no_single_change_of_a_part_on_the_front_helps(kernels: tuple[Kernel, ...], graph: Graph) -> None:
    """Nor do several parts that differ so; the front is no worse than before them, and nothing is made up."""
    offers, search = searched(graph, kernels)
    front, first = found(search.front), found(search.first_front)
    assert front == lowest(every(graph, offers, partial(near, search.front)))
    best = lowest(every(graph, offers, mixed))
    for better, worse in ((front, first), (best, front)):
        assert all(any(a <= size and b <= cost for a, b in better) for size, cost in worse)


@pytest.mark.parametrize("shape", [(16, 1, 8), (16, 4, 4)])
def test_single_changes_may_find_the_best_of_all(kernels: tuple[Kernel, ...], shape: Shape) -> None:
    layers = [Geometry(kernel=(rows, 1), stride=(stride, 1)) for rows, stride in [(3, 2), (1, 1), (3, 2)]]
    offers, search = searched(chain(shape, *(MaxPool2d(geometry=each) for each in layers)), kernels)
    assert found(search.front) == lowest(every(offers.graph, offers, mixed)) != found(search.first_front)


def test_several_changes_at_once_are_not_found(kernels: tuple[Kernel, ...]) -> None:
    """No part is on the front, so none is varied: two rows at a time of one layer, then one, would take less RAM."""
    layers = Geometry(kernel=(2, 3), padding=(0, 1, 0, 1)), Geometry(kernel=(2, 1), stride=(2, 2))
    offers, search = searched(chain((14, 1, 2), *(MaxPool2d(geometry=each) for each in layers)), kernels)
    assert not any(program.streams for program in search.front)
    assert lowest(every(offers.graph, offers, mixed)) == [*found(search.front), (56, 4858.2)]


@FEW
@given(row_graphs())
def test_rows_that_stream_never_take_more(graph: Graph) -> None:
    """Nor are there more instructions, with all that RAM; on graphs of any size, with the kernels that there are."""
    if not {node.operator.op for node in graph.nodes} <= set(MADE) | {"mul", "concat", "prelu"}:
        return
    offers = Offers(graph, tuple(load_kernels()), ("portable",), Costs())
    chosen = [candidate for candidate, _ in offers.select()[0]]
    front = Search(offers, chosen, state_bytes(graph)).front
    whole = Search(offers, chosen, state_bytes(graph), streaming=False).front
    for size, cost in found(whole):
        assert any(a <= size and b <= cost for a, b in found(front))
    assert found(front) == lowest(found(front))
    for program in front:
        selected, _ = offers.select(1.0, None, program.bands, program.limits(state_bytes(graph)))
        assert in_use(graph, tuple(candidate for candidate, _ in selected), program.streams) <= program.bytes


def test_the_counters_are_no_working_memory() -> None:
    """What a program's bytes leave its kernels beside what is in use at their steps."""
    graph = chain((16, 4, 4), LARGEST, LARGEST)
    offers = Offers(graph, tuple(load_kernels()), ("portable",), Costs())
    front = Search(offers, [candidate for candidate, _ in offers.select()[0]], 24).front
    assert {bool(program.streams) for program in front} == {True, False}
    for program in front:
        loads = {node: load for segment in program.segments for node, load in segment.loads.items()}
        room = program.bytes - (24 if program.streams else 0)
        assert {node: limit.bytes for node, limit in program.limits(24).items()} == {
            node: room - load for node, load in loads.items()
        }


def test_few_steps_leave_cuts_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer steps than all parts have, parts begin and end where the least is in use."""
    graph = chain((16, 4, 4), *[LARGEST] * 6)
    offers = Offers(graph, tuple(load_kernels()), ("portable",), Costs())
    chosen = [candidate for candidate, _ in offers.select()[0]]
    ends = {(part.first, part.last) for part in Search(offers, chosen, 0).parts}
    assert len(ends) == 21
    monkeypatch.setattr("nnrules.plan.search.FIRES", 0)
    monkeypatch.setattr("nnrules.plan.search.MORE_FIRES", 100)
    search = Search(offers, chosen, 0)
    assert {(part.first, part.last) for part in search.parts} == {(0, 5)}
    steps = search.steps
    assert steps == 6 * (16 + 8 + 4)
    assert search.front[-1].streams
    assert steps + 100 < search.steps < steps + 200


def test_ends_of_parts_are_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the whole graph is looked at first; parts that end where the image is small are better."""
    halved = MaxPool2d(geometry=Geometry(kernel=(2, 2), stride=(2, 2)))
    offers = Offers(chain((16, 8, 8), halved, halved, LARGEST, LARGEST), tuple(load_kernels()), ("portable",), Costs())
    chosen = [candidate for candidate, _ in offers.select()[0]]
    monkeypatch.setattr("nnrules.plan.search.FIRES", 0)
    search = Search(offers, chosen, 0)
    assert {(part.first, part.last) for part in search.parts} == {(0, 3)}
    assert {(each.first, each.last) for program in search.front for each in program.streams} == {(0, 0), (0, 1)}


def parts_of(graph: Graph) -> Parts:
    """With the portable kernels."""
    offers = Offers(graph, tuple(load_kernels()), ("portable",), Costs())
    return Parts(offers, [candidate for candidate, _ in offers.select()[0]])


def test_rows_that_a_layer_sees_one_by_one_lie_one_after_the_other() -> None:
    """As many at a time as before it, where neither number divides the other; one where they are apart."""
    make = parts_of(chain((3, 4, 2), LARGEST, TABLE, TABLE, average(3)))
    assert make.bands({0: 4, 1: 2, 2: 1, 3: 4}) == {0: 3, 1: 3, 2: 1, 3: 1}
    assert make.bands({1: 2, 2: 4}) == {1: 2, 2: 2}
    make = parts_of(chain((8, 4, 2), TABLE, LARGEST, TABLE))
    assert make.bands({0: 4, 1: 4, 2: 2}) == {0: 1, 1: 4, 2: 2}  # rows are pushed
    again: Steps = [("t", ("x",), LARGEST), ("a", ("t",), TABLE), ("b", ("t",), LARGEST)]
    make = parts_of(network({"x": (8, 4, 2)}, again, ("a", "b")))
    assert make.bands({0: 4, 1: 4, 2: 4}) == {0: 4, 1: 1, 2: 4}  # of a tensor that others read too


def test_two_rows_at_a_time_are_for_less_than_nine_tenths_of_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    make = parts_of(chain((8, 4, 2), LARGEST, TABLE))
    for twice, rows in ((90.0, 2), (90.1, 1)):
        monkeypatch.setattr(make.offers, "least", lambda _, band, twice=twice: {1: 100.0, 2: twice}[band])
        assert make.uniform(0, 1, 0, 1) == {0: rows, 1: 1}
        assert make.uniform(0, 1, 4, 2) == {0: 4, 1: 2}


def test_weights_are_little_more_than_those_on_whole_tensors(tmp_path: Path) -> None:
    """Of kernels of 800, 900 and 901 bytes."""
    kernels = []
    for weights, cost in ((800, 9), (900, 3), (901, 1)):
        path = tmp_path / f"max_pool2d_{weights}__portable.toml"
        path.with_name(f"{path.stem}.c.j2").touch()
        path.write_text(f'op = "max_pool2d"\nisa = "portable"\nweights = "{weights}"\ncost = "{cost}"\n')
        kernels.append(load_kernel(path))
    offers = Offers(chain((8, 4, 2), LARGEST), kernels, ("portable",), Costs())
    known = {candidate.weight_bytes: candidate for candidate in offers.candidates(0)[0]}
    for chosen, cost in ((901, 1.0), (900, 1.0), (800, 3.0)):
        (offer,) = Parts(offers, [known[chosen]]).whole(0).offers[0]
        assert offer.instructions == cost
    light = msgspec.structs.replace(known[800], weight_bytes=700)  # none is so light: the lightest
    (offer,) = Parts(offers, [light]).whole(0).offers[0]
    assert offer.instructions == 9.0


def test_a_tensor_lives_as_long_as_its_views() -> None:
    """Layer u reads t row by row; a later one reads t under another name."""
    for reads, lows in (("x", {0, 8}), ("t", {0})):
        view, read = Reshape(shape=(32,)), Reshape(shape=(4, 4, 2))
        steps: Steps = [("t", ("x",), LARGEST), ("v", (reads,), view), ("u", ("t",), LARGEST), ("y", ("v",), read)]
        graph = network({"x": (4, 4, 2)}, steps, ("u", "y"))
        (segment, *_) = parts_of(graph).streamed(2, 2, {2: 2})
        assert segment.stream is not None
        assert {extent.low for extent in segment.stream.schedule.extents["t"]} == lows
