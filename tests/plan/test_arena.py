"""Arena offsets: nothing alive overlaps, and the search meets the lower bound where it can."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from nnrules.plan.arena import assign_offsets
from nnrules.plan.lifetimes import Buffer, Piece, span, step_bytes
from nnrules.plan.schedule import ALIGNMENT, aligned


def most_at_once(buffers: list[Buffer]) -> int:
    """Bytes in use in one step; no arena is smaller."""
    return max(step_bytes(buffers))


@st.composite
def lives(draw: st.DrawFn) -> Buffer:
    """A buffer of any size, held for some steps; in some of them not all of it."""
    first, length, size = draw(st.integers(0, 12)), draw(st.integers(0, 5)), draw(st.integers(1, 5000))
    steps = dict.fromkeys(range(first, first + length + 1), (0, size))
    for step in steps:
        if draw(st.integers(0, 3)) == 0:
            low = draw(st.integers(0, size - 1)) // ALIGNMENT * ALIGNMENT
            steps[step] = (low, draw(st.integers(low + 1, size)))
    return Buffer(["t"], [Piece(1 << step, *extent) for step, extent in steps.items()])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(lives(), min_size=1, max_size=14))
def test_bytes_in_use_together_do_not_overlap(buffers: list[Buffer]) -> None:
    offsets, total = assign_offsets(buffers)
    assert total >= most_at_once(buffers)
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    for i, a in enumerate(buffers):
        assert offsets[i] + a.bytes <= total
        for j, b in enumerate(buffers[:i]):
            for p, q in ((p, q) for p in a.pieces for q in b.pieces if p.held & q.held):
                apart = offsets[i] + p.high <= offsets[j] + q.low or offsets[j] + q.high <= offsets[i] + p.low
                assert apart


def test_a_chain_needs_its_largest_pair() -> None:
    sizes = [96, 640, 320, 320, 1280, 64]
    chain = [Buffer([str(i)], [Piece(span(max(0, i - 1), i), 0, size)]) for i, size in enumerate(sizes)]
    assert assign_offsets(chain)[1] == most_at_once(chain) == 1600


def test_what_grows_may_lie_over_what_dies() -> None:
    """An output of 320 bytes takes the place of an input of 320, of which 80 die whenever 80 are written."""
    dying = [Piece(1 << step, 80 * step, 320) for step in range(4)]
    growing = [Piece(1 << step, 0, 80 * (step + 1)) for step in range(4)]
    both = [Buffer(["x"], dying), Buffer(["y"], growing)]
    assert assign_offsets(both) == ([80, 0], 400)
    assert most_at_once(both) == 400


def lowest(buffers: list[Buffer]) -> int:
    """The least that any order gives, each buffer directly above those before it that it may not lie over."""
    least = sum(aligned(buffer.bytes) for buffer in buffers)
    for order in itertools.permutations(buffers):
        offsets: list[int] = []
        for number, own in enumerate(order):
            offset = 0
            for below, start in zip(order[:number], offsets, strict=True):
                pairs = [(p, q) for p in below.pieces for q in own.pieces if p.held & q.held]
                if pairs:
                    offset = max(offset, start + max(0, aligned(max(p.high - q.low for p, q in pairs))))
            offsets.append(offset)
        least = min(least, max(start + aligned(own.bytes) for own, start in zip(order, offsets, strict=True)))
    return least


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(lives(), min_size=1, max_size=6))
def test_few_buffers_lie_as_low_as_in_any_order(buffers: list[Buffer]) -> None:
    assert assign_offsets(buffers)[1] <= lowest(buffers)


def test_the_same_buffers_lie_at_the_same_offsets() -> None:
    chance, buffers = random.Random(3), []
    for number in range(30):
        held = sum(1 << step for step in chance.sample(range(20), 4))
        buffers.append(Buffer([str(number)], [Piece(held, 0, chance.randrange(1, 999))]))
    assert assign_offsets(buffers) == assign_offsets(buffers)
    assert most_at_once(buffers) < assign_offsets(buffers)[1] < assign_offsets(buffers, effort=0)[1]
