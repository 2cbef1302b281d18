"""Borders on any sides of one to four axes, at most three of them apart."""

from hypothesis import strategies as st

from nnrules.graph.ops.pad import Pad
from tests.cases.case import INT8, Case, Draw, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Borders of zero to three values."""
    shape = tuple(draw(st.integers(1, 5)) for _ in range(draw(st.integers(1, 4))))
    sides = [[draw(st.integers(0, 3)) * (axis < 3) for axis in range(len(shape))] for _ in range(2)]
    operator = Pad(before=tuple(sides[0]), after=tuple(sides[1]), value=draw(INT8))
    return Case(operator, (draw(int8_arrays((1, *shape))),))
