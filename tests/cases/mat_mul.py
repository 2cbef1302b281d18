"""Matrices alone, and some side by side."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.mat_mul import MatMul
from nnrules.graph.requant import channel_requantization
from tests.cases.case import INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Up to two leading axes."""
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    rows, length, columns = (draw(st.integers(1, 8)) for _ in range(3))
    zero_point, largest = draw(INT8), 255 * 255 * length
    scale = draw(st.floats(0.5, 200.0)) / largest
    rule = channel_requantization(np.array([scale]), np.array([largest]), zero_point, draw(bounds(zero_point)), "x")
    a = draw(int8_arrays((1, *leading, rows, length)))
    b = draw(int8_arrays((1, *leading, length, columns)))
    return Case(MatMul(x_zero_points=(draw(INT8), draw(INT8)), requantization=rule), (a, b))
