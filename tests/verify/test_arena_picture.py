"""The picture of the arena: all of it there, told and marked, however many steps there are."""

import re
from xml.etree import ElementTree

import msgspec
import pytest

from nnrules.graph.ir import Graph
from nnrules.plan.record import Flow, Lane, Layer, Plan, Point, Slot, Span
from nnrules.verify import arena, arena_section, colour, front
from nnrules.verify.ram import Ram
from tests.verify.programs import plan as plan_of

SVG = "{http://www.w3.org/2000/svg}"
MOST_BYTES = 150_000


def drawn(plan: Plan) -> ElementTree.Element:
    return ElementTree.fromstring(arena.draw(plan))


def titles(picture: ElementTree.Element) -> list[str]:
    return [each.text or "" for each in picture.iter(f"{SVG}title")]


def test_every_piece_of_memory_tells_what_it_is(graph: Graph) -> None:
    plan = plan_of(graph, "cortex-m7", True)
    found = titles(drawn(plan))
    for slot in plan.tensors:
        name = "counters" if slot.kind == "state" else slot.name.removesuffix(f" ({slot.kind})")
        about = f"{name}: {arena.KINDS[slot.kind][0]}, {slot.bytes:,} bytes at {slot.offset:,}, steps "
        assert any(title.startswith(about) for title in found), about
    assert "rows stream through stem to pool" in found


@pytest.mark.parametrize("streamed", [False, True])
def test_the_peak_is_marked_and_layers_are_listed(graph: Graph, streamed: bool) -> None:
    plan = plan_of(graph, "cortex-m7", streamed)
    picture = drawn(plan)
    texts = [text.text or "" for text in picture.iter(f"{SVG}text")]
    ram = Ram(plan)
    assert f"most at step {ram.peak}: {plan.live_bytes:,} bytes in use, layer {plan.peak}" in texts
    assert {layer.name for layer in plan.layers} <= set(texts)
    assert len([line for line in picture.iter(f"{SVG}line") if line.get("class") == "peak"]) == 1
    assert ("rows stream" in texts) == streamed


def test_where_a_tensor_is_drawn() -> None:
    """Two steps; b has the upper half of the arena in the second."""
    slots = (
        Slot(name="a", offset=0, bytes=64, first=0, last=1, spans=(Span(0, 1, 0, 64),)),
        Slot(name="b", offset=64, bytes=64, first=1, last=1, spans=(Span(1, 1, 0, 64),)),
    )
    layers = (Layer(name="l0", op="add"), Layer(name="l1", op="add"))
    plan = Plan(
        model="m", target="t", arena_bytes=128, live_bytes=128, tensors=slots, layers=layers, steps=(0, 1), peak="l1"
    )
    text = arena.draw(plan)
    top, half = arena.TOP + arena.LOADS + arena.GAP, arena.MAP / 2
    middle, column = 58 + (1000 - arena.RIGHT - 58) / 2, (1000 - arena.RIGHT - 58) / 2
    assert f'd="M58.0 {top + half:.1f}h{2 * column:.1f}v{half:.1f}h-{2 * column:.1f}z"' in text
    assert f'd="M{middle:.1f} {top:.1f}h{column:.1f}v{half:.1f}h-{column:.1f}z"' in text


def long_plan(steps: int, tensors: int) -> Plan:
    """A plan of many bands of rows: each layer works in turn, beside a ring each."""
    slots = []
    for i in range(tensors):
        spans = tuple(Span(step, step, 0, 64) for step in range(i, steps, tensors))
        slots.append(
            Slot(
                name=f"t{i} (fresh)", kind="fresh", offset=64 * (i % 2), bytes=64, first=i, last=steps - 1, spans=spans
            )
        )
        ring = (Span(i, steps - 1, 0, 64),)
        slots.append(
            Slot(name=f"t{i} (ring)", kind="ring", offset=128 + 64 * i, bytes=64, first=i, last=steps - 1, spans=ring)
        )
    return Plan(
        model="long",
        target="t",
        arena_bytes=128 + 64 * tensors,
        live_bytes=64 + 64 * tensors,
        tensors=tuple(slots),
        layers=tuple(Layer(name=f"layer {i}", op="conv2d") for i in range(tensors)),
        steps=tuple(step % tensors for step in range(steps)),
    )


@pytest.mark.parametrize(("steps", "run"), [(500, 1), (501, 2), (6000, 12)])
def test_many_steps_are_drawn_as_runs(steps: int, run: int) -> None:
    text = arena.draw(long_plan(steps, 60))
    assert len(text) < MOST_BYTES
    note = "step<" if run == 1 else f"step; each column is a run of {run}, drawn where it has most in use<"
    assert note in text
    assert text.count("<title>layer ") == 60
    assert "most at step 59: 3,904 bytes in use, layer layer 59" in text


def test_of_a_run_the_step_with_most_in_use_is_drawn() -> None:
    plan = long_plan(1000, 2)
    burst = Slot(name="b", offset=256, bytes=64, first=333, last=333, spans=(Span(333, 333, 0, 64),))
    plan = msgspec.structs.replace(plan, tensors=(*plan.tensors, burst), arena_bytes=320)
    (path,) = re.findall(r"<title>b: [^<]*</title><path[^>]* d=\"([^\"]*)\"", arena.draw(plan))
    assert path.count("M") == 1


def test_names_are_escaped_and_shortened() -> None:
    plan = long_plan(4, 1)
    plan = msgspec.structs.replace(plan, layers=(Layer(name="<layer> of a very long name indeed", op="add"),))
    text = arena.draw(plan)
    assert "<layer>" not in text
    assert ">&lt;layer&gt; of a very long na…</text>" in text
    assert text == arena.draw(plan)


@pytest.mark.parametrize(("steps", "ring"), [(10, "t0, 2 rows"), (30, "t0")])
def test_how_many_rows_a_ring_has_is_said_where_there_is_room(steps: int, ring: str) -> None:
    lane = Lane(tensor="t0", height=8, row_bytes=32, ring=2)
    flow = Flow(first=0, last=0, pushed="", events=(), lanes=(lane,), sums={}, state_offset=0, state_bytes=0)
    fresh, kept = long_plan(steps, 1).tensors
    kept = msgspec.structs.replace(kept, spans=(Span(0, 0, 0, 64),))
    plan = msgspec.structs.replace(long_plan(steps, 1), flows=(flow,), tensors=(fresh, kept))
    assert [text.text for text in drawn(plan).iter(f"{SVG}text") if text.get("class") == "on"] == ["t0", ring]


def test_a_plan_without_layers_is_drawn() -> None:
    drawn(Plan(model="m", target="t", arena_bytes=0, live_bytes=0, tensors=(), layers=()))


def test_hues_are_far_apart_and_kinds_told_apart() -> None:
    assert colour.oklch(1.0, 0.0, 0.0) == "#ffffff"
    assert colour.oklch(0.0, 0.0, 0.0) == "#000000"
    assert colour.oklch(0.6279, 0.2577, 29.23) == "#ff0000"  # Ottosson's red of sRGB
    assert len({colour.nth(i, 0.7, 0.13) for i in range(100)}) == 100


FRONT = (
    Point(bytes=9000, instructions=1000.0),
    Point(bytes=4000, instructions=1020.0),
    Point(bytes=2900, instructions=9000.0),
)


def test_the_front_marks_what_was_taken() -> None:
    plan = msgspec.structs.replace(long_plan(4, 2), taken=1, front=FRONT)
    text = front.draw(Ram(plan))
    picture = ElementTree.fromstring(text)
    circles = [(each.get("class"), (each[0].text or "")) for each in picture.iter(f"{SVG}circle")]
    assert circles == [
        ("dot", "9,000 bytes in use, 1,000 instructions"),
        ("here", "4,000 bytes in use, 1,020 instructions"),
    ]
    assert "KB in use; 1 with more than +50 % left out" in text


def test_what_the_report_says() -> None:
    plan = msgspec.structs.replace(long_plan(4, 2), taken=1, front=FRONT, stops=("fc", "softmax"))
    section = arena_section.about(plan)
    assert section.peak == (
        "An inference takes 4 steps; most is in use in step 1, while layer 'layer 1' works: 192 bytes of the arena's "
        "256. 64 are gaps between buffers that do not fit closer."
    )
    assert section.sentences == [
        "By the planner's estimate 1 KB more in use would save nothing; "
        "1 KB less in use would cost 7,980 instructions (782 %).",
        "No rows stream through 'fc', 'softmax'.",
    ]
    assert [(row.name, row.kind, row.bytes) for row in section.owners] == [
        ("t1", "rows as they are made", "64"),
        ("t0", "rows that are kept (ring)", "64"),
        ("t1", "rows that are kept (ring)", "64"),
    ]


def test_the_report_says_how_wide_packed_values_are() -> None:
    """Of tensors, whole or in rows; not of what a layer of the same name works with."""
    plan = msgspec.structs.replace(long_plan(4, 2), widths={"t1": 4})
    slots = (*plan.tensors, msgspec.structs.replace(plan.tensors[0], name="t1", kind="scratch"))
    section = arena_section.about(msgspec.structs.replace(plan, tensors=slots))
    assert {row.kind for row in section.lifetimes if row.name == "t1"} == {
        "rows as they are made, 4 bits a value",
        "rows that are kept (ring), 4 bits a value",
        "working memory",
    }
    assert not any("bits" in row.kind for row in section.lifetimes if row.name != "t1")
    assert ("t1", "rows as they are made, 4 bits a value") in {(row.name, row.kind) for row in section.owners}


def test_lifetimes_say_how_many_rows(graph: Graph) -> None:
    plan = plan_of(graph, "cortex-m7", True)
    rows = {(row.name, row.kind): row.rows for row in arena_section.about(plan).lifetimes}
    assert rows["stem", "rows that are kept (ring)"].endswith(" of 8")
    assert rows["counters", "counters"] == ""
    here = Point(bytes=plan.live_bytes, instructions=5.0)
    start = (
        "By the planner's estimate 1 KB more in use would save nothing; no plan with 1 KB less was found, the least in "
    )
    least = msgspec.structs.replace(plan, taken=0, front=(here,))
    stops = "No rows stream through 'flat'."
    assert list(arena_section.sentences(Ram(least))) == [f"{start}use is {plan.live_bytes:,}.", stops]
    below = Point(bytes=plan.live_bytes - 8, instructions=6.0)
    less = msgspec.structs.replace(plan, taken=0, front=(here, below))
    sentence = f"{start}use is {plan.live_bytes - 8:,}; {plan.model}.plan.ram=least gives the smallest arena."
    assert list(arena_section.sentences(Ram(less))) == [sentence, stops]
