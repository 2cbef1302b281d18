"""Sums and differences, ratios of scales from far apart to one, shapes alike or not."""

from hypothesis import strategies as st

from nnrules.graph.ops.add import LARGEST_SHIFT, Add
from tests.cases.case import INT8, Case, Draw, bounds, broadcast_shapes, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Sums and differences, ratios of scales from far apart to one, shapes alike or not."""
    ratios = draw(st.floats(0.01, 4.0)), draw(st.sampled_from([1, -1])) * draw(st.floats(0.01, 4.0))
    zero_point = draw(INT8)
    zero_points = draw(INT8), draw(INT8)
    operator = Add.of(ratios, zero_points, zero_point, draw(bounds(zero_point)), "add")
    assert operator.k <= LARGEST_SHIFT
    return Case(operator, tuple(draw(int8_arrays((1, *shape))) for shape in draw(broadcast_shapes())))
