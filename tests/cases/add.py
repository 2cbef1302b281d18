"""Ratios of scales from far apart to one."""

from hypothesis import strategies as st

from nnrules.graph.ops.add import LARGEST_SHIFT, Add
from tests.cases.case import INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Ratios of scales from far apart to one."""
    ratios = draw(st.floats(0.01, 4.0)), draw(st.floats(0.01, 4.0))
    zero_point = draw(INT8)
    zero_points = draw(INT8), draw(INT8)
    operator = Add.of(ratios, zero_points, zero_point, draw(bounds(zero_point)), "add")
    assert operator.k <= LARGEST_SHIFT
    shape = (1, draw(st.integers(1, 40)))
    return Case(operator, (draw(int8_arrays(shape)), draw(int8_arrays(shape))))
