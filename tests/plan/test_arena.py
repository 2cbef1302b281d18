"""Arena offsets: nothing alive overlaps, and the search meets the lower bound where it can."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nnrules.plan.arena import ALIGNMENT, assign_offsets, live_bytes
from nnrules.plan.lifetimes import Buffer, span


@st.composite
def lives(draw: st.DrawFn) -> Buffer:
    """A buffer of any size, held for some steps."""
    first, length = draw(st.integers(0, 12)), draw(st.integers(0, 5))
    return Buffer(["t"], draw(st.integers(1, 5000)), span(first, first + length))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(lives(), min_size=1, max_size=14))
def test_buffers_alive_together_do_not_overlap(buffers: list[Buffer]) -> None:
    offsets, total = assign_offsets(buffers)
    assert total >= live_bytes(buffers)
    assert all(offset % ALIGNMENT == 0 for offset in offsets)
    for i, a in enumerate(buffers):
        assert offsets[i] + a.bytes <= total
        for j, b in enumerate(buffers[:i]):
            together = a.held & b.held
            apart = offsets[i] + a.bytes <= offsets[j] or offsets[j] + b.bytes <= offsets[i]
            assert apart or not together


def test_a_chain_needs_its_largest_pair() -> None:
    sizes = [96, 640, 320, 320, 1280, 64]
    chain = [Buffer([str(i)], size, span(max(0, i - 1), i)) for i, size in enumerate(sizes)]
    assert assign_offsets(chain)[1] == live_bytes(chain) == 1600
