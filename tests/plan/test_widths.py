"""Which tensors of few levels a plan packs, against all choices there are; and what they take then."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from msgspec import UNSET

from nnrules.graph.ir import Graph
from nnrules.graph.operator import Geometry
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.packed import packed, packings, views
from nnrules.plan.planner import Ram, make_plan
from nnrules.plan.record import Plan
from nnrules.plan.widths import packable
from tests.cases.graphs import narrow_graphs
from tests.codegen.plans import KERNELS
from tests.narrow import folded
from tests.plan.test_schedule import LARGEST, chain
from tests.plan.test_search import FEW

PORTABLE = ("portable",)
LEAST = Ram(stream=True, least=True)
MOST = 3  # sets of tensors that may be packed

Plans = dict[frozenset[str], Plan]


def planned(graph: Graph, ram: Ram = LEAST) -> Plan:
    """With the portable kernels."""
    return make_plan(graph, KERNELS, "host", PORTABLE, ram=ram)


def groups(graph: Graph) -> list[list[str]]:
    """Tensors that may be packed, views of each other together."""
    able = packable(graph, KERNELS, PORTABLE)
    return [group for group in views(graph).values() if group[0] in able]


def choices(graph: Graph) -> Plans:
    """The plan of the least RAM for each set of tensors that may be packed."""
    found, able = {}, groups(graph)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnrules.plan.planner.packable", lambda *_: ())
        for taken in itertools.product((False, True), repeat=len(able)):
            names = [name for group, chosen in zip(able, taken, strict=True) if chosen for name in group]
            found[frozenset(names)] = planned(packed(graph, names))
    return found


def few(graph: Graph) -> bool:
    """Whether there are some tensors to pack, but not many."""
    return 0 < len(groups(graph)) <= MOST


def test_many_narrow_graphs_have_something_to_pack() -> None:
    """The ones drawn here and in the tests of generated code."""
    found = list[int]()

    @settings(FEW, max_examples=40)
    @given(narrow_graphs())
    def count(graph: Graph) -> None:
        found.append(len(groups(graph)))

    count()
    assert sum(number > 0 for number in found) > len(found) / 3


@settings(FEW, max_examples=6)
@given(narrow_graphs().filter(few))
def test_no_more_ram_than_with_all_packed_or_none(graph: Graph) -> None:
    """What is packed is worth it, and otherwise planned as if it had to be. A bound on the RAM is kept where that is
    possible with all or none; the fastest plan is one of bytes."""
    every, plan = choices(graph), planned(graph)
    none, everything = every[frozenset()], every[max(every, key=len)]
    assert plan == every[frozenset(plan.widths or ())]
    assert plan.arena_bytes <= min(none.arena_bytes, everything.arena_bytes)
    assert not plan.widths or merit(plan) < merit(none)
    fastest = planned(graph, Ram(stream=True, bytes=1 << 20))
    assert not fastest.widths
    for most in {each.arena_bytes for each in (none, everything)}:
        kept = planned(graph, Ram(stream=True, bytes=most))
        assert kept.arena_bytes <= most
        assert most < fastest.arena_bytes or not kept.widths


def merit(plan: Plan) -> tuple[int, float]:
    """Less is better."""
    return plan.arena_bytes, plan.front[plan.taken].instructions


@settings(FEW, max_examples=10)
@given(narrow_graphs())
def test_what_packed_tensors_take(graph: Graph) -> None:
    """Each pixel begins at a byte; what lies in the arena, whole or in rows, is as large."""
    known = packings(graph)
    narrow = packed(graph, known)
    for name, packing in known.items():
        *pixels, channels = graph.tensors[name].shape
        size = math.prod(pixels) * ((channels * packing.bits + 7) // 8)
        assert narrow.tensors[name].bytes == size < graph.tensors[name].bytes
    plan = planned(graph)
    for name, bits in (plan.widths or {}).items():
        assert bits == known[name].bits
        whole = [slot for slot in plan.tensors if slot.name == name and slot.kind == "whole"]
        assert all(max(span.high for span in slot.spans) <= narrow.tensors[name].bytes for slot in whole)
        rows = [lane.row_bytes * lane.height for flow in plan.flows for lane in flow.lanes if lane.tensor == name]
        assert set(rows) <= {narrow.tensors[name].bytes}


def test_only_what_the_peak_needs_is_packed() -> None:
    """Most is in use while the input (128 bytes) is read; with 64 more for what is made of it nothing else matters."""
    narrow = Lookup(table=folded(np.arange(-128, 128), 4, 0))
    halved = MaxPool2d(geometry=Geometry(kernel=(2, 2), stride=(2, 2)))
    graph = chain((8, 4, 4), narrow, LARGEST, halved, LARGEST)
    assert packable(graph, KERNELS, PORTABLE) == ("t0", "t1", "t2")
    plan = planned(graph, Ram(least=True))
    assert (plan.arena_bytes, plan.widths) == (192, {"t0": 4})
    plan = planned(graph, Ram(bytes=256))
    assert (plan.arena_bytes, plan.widths) == (256, UNSET)
