"""What is said of a plan's RAM, of small plans whose answer is known and of those of a small graph."""

from itertools import pairwise

import msgspec
import pytest

from nnrules.catalog.table import render_ram
from nnrules.graph.ir import Graph
from nnrules.plan.record import Layer, Plan, Point, Slot, Span
from nnrules.verify import arena_section
from nnrules.verify.ram import Ram, Trade, used
from tests.verify.programs import plan as plan_of

BUFFERS = [
    {"name": "body1", "kind": "scratch", "bytes": 2440},
    {"name": "stem", "kind": "ring", "bytes": 960},
    {"name": "y", "kind": "whole", "bytes": 480},
    {"name": "counters", "kind": "state", "bytes": 32},
]
LAYERS = tuple(Layer(name=name, op="conv2d") for name in ("first", "second", "third"))
PLAN = Plan(
    model="m",
    target="t",
    arena_bytes=64,
    live_bytes=48,
    tensors=(
        Slot(name="x", offset=0, bytes=16, first=0, last=0, spans=(Span(0, 0, 0, 16),)),
        Slot(name="a", offset=16, bytes=24, first=0, last=2, spans=(Span(0, 1, 0, 20),)),
        Slot(name="b", offset=16, bytes=24, first=0, last=2, spans=(Span(1, 2, 0, 16),)),
        Slot(name="second (scratch)", kind="scratch", offset=40, bytes=24, first=1, last=1, spans=(Span(1, 1, 0, 24),)),
    ),
    layers=LAYERS,
    steps=(0, 1, 2),
    peak="second",
    front=(
        Point(bytes=1072, instructions=900.0),
        Point(bytes=1000, instructions=950.0),
        Point(bytes=48, instructions=1000.0),
    ),
    taken=2,
)


def test_tensors_that_follow_each_other_in_place_count_once() -> None:
    ram = Ram(PLAN)
    assert ram.loads == [40, 48, 16]
    assert (ram.peak, ram.layer(ram.peak)) == (1, "second")
    assert [(block.name, size) for block, size in ram.owners] == [("b", 24), ("second", 24)]
    assert ram.unused == 16


def test_eight_bytes_that_two_share_count_once() -> None:
    """x dies from below in rows of 12 bytes, as y grows over it."""
    spans = [(Span(step, step, 12 * step, 24), Span(step, step, 0, 12 * step)) for step in (0, 1, 2)]
    names = {"x": tuple(x for x, _ in spans[:2]), "y": tuple(y for _, y in spans[1:])}
    slots = tuple(Slot(name=name, offset=0, bytes=24, first=0, last=2, spans=each) for name, each in names.items())
    moved = (msgspec.structs.replace(slots[0], offset=8), slots[1])
    ram = Ram(msgspec.structs.replace(PLAN, arena_bytes=32, tensors=moved))
    assert ram.loads == [24, 32, 24]
    assert (ram.peak, ram.unused) == (1, 0)
    assert Ram(msgspec.structs.replace(PLAN, arena_bytes=24, tensors=moved)).loads == [24, 24, 24]


def test_what_keeps_rows_from_streaming_is_named() -> None:
    inputs = msgspec.structs.replace(PLAN, held=("x", "z"), stops=("first",), front=())
    assert list(arena_section.sentences(Ram(inputs))) == [
        "Where there are several inputs they are held as a whole: 'x', 'z'.",
        "No rows stream through 'first'.",
    ]


def test_parts_of_a_buffer_count_as_buffers_are_rounded() -> None:
    assert [used(Span(0, 0, *each)) for each in ((0, 1), (7, 9), (8, 16), (9, 17))] == [8, 16, 8, 16]


@pytest.mark.parametrize(
    ("taken", "more", "expected"),
    [
        (2, 1024, Trade(1024, -100.0, -0.1)),
        (2, 1023, Trade(1023, -50.0, -0.05)),
        (2, 8, Trade(8, 0.0, 0.0)),
        (2, -1024, Trade(-1024, None)),
        (0, -1024, Trade(-1024, 100.0, 100 / 900)),
        (0, 1024, Trade(1024, 0.0, 0.0)),
    ],
)
def test_what_more_and_less_would_do(taken: int, more: int, expected: Trade) -> None:
    assert Ram(msgspec.structs.replace(PLAN, taken=taken)).trade(more) == expected


def test_without_a_front_there_is_nothing_to_trade() -> None:
    ram = Ram(msgspec.structs.replace(PLAN, front=()))
    assert ram.trade(1024) is None
    assert (ram.record()["least"], ram.record()["kilobyte_more"]) == (None, None)


def test_the_record() -> None:
    assert Ram(PLAN).record() == {
        "arena": 64,
        "layer": "second",
        "step": 1,
        "steps": 3,
        "bytes": 48,
        "gaps": 16,
        "kinds": {"whole": 24, "scratch": 24},
        "least": 48,
        "buffers": [
            {"name": "b", "kind": "whole", "bytes": 24},
            {"name": "second", "kind": "scratch", "bytes": 24},
        ],
        "kilobyte_more": -100,
        "kilobyte_less": None,
    }


@pytest.mark.parametrize(
    ("ram", "peak", "line"),
    [
        (
            {"arena": 7624, "stack": 348, "data": 0, "bss": 8},
            {"layer": "body1", "buffers": BUFFERS, "kilobyte_more": -3053},
            "RAM of m on t: 7,624 arena + 348 stack + 8 bss; most at layer body1: 2,440 for the work of body1, "
            "960 for rows kept of stem, 480 for all of y; 1 KB more would save 3,053 instructions\n",
        ),
        (
            {"arena": 64, "stack": None, "data": 4, "bss": 0},
            {"layer": "a", "buffers": [], "kilobyte_more": 0},
            "RAM of m on t: 64 arena + 4 data; most at layer a\n",
        ),
    ],
)
def test_the_line_below_the_table(ram: dict[str, int], peak: dict[str, object], line: str) -> None:
    assert render_ram([{"model": "m", "target": "t", "ram": ram, "peak": peak}, {"model": "old"}]) == line


@pytest.mark.parametrize("streamed", [False, True])
def test_a_plan_and_its_record_agree(graph: Graph, streamed: bool) -> None:
    plan = plan_of(graph, "cortex-m7", streamed)
    ram = Ram(plan)
    assert bool(plan.flows) == streamed
    assert ram.steps == len(plan.steps)
    assert max(ram.loads) == plan.live_bytes
    assert ram.layer(ram.peak) == plan.peak
    assert sum(size for _, size in ram.owners) == plan.live_bytes
    if ram.here is not None:
        assert ram.here.bytes >= plan.live_bytes
        assert ram.here.instructions >= sum(layer.instructions for layer in plan.layers)
    assert {block.kind for block in ram.blocks} >= ({"ring", "fresh", "state"} if streamed else {"whole", "scratch"})


@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_in_use_at_once_lies_apart(graph: Graph, streamed: bool) -> None:
    plan = plan_of(graph, "cortex-m7", streamed)
    ram = Ram(plan)
    for step in range(ram.steps):
        there = {(block.offset, block.at(step)) for block in ram.blocks if block.at(step)}
        ends = sorted((offset + span.low, offset + span.high, offset) for offset, span in there if span)
        for (_, stop, before), (start, _, offset) in pairwise(ends):
            assert stop <= start or before == offset
        assert max(stop for _, stop, _ in ends) <= plan.arena_bytes
