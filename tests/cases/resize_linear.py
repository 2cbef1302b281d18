"""Sizes up and down by any ratio, in all coordinate modes."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.resize_linear import MODES, ResizeLinear, interpolation
from nnrules.graph.requant import channel_requantization
from tests.cases.case import INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Mostly by two, else to any size from one to twelve."""
    size = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    scales = [draw(st.sampled_from([Fraction(2), Fraction(draw(st.integers(1, 12)), length)])) for length in size]
    mode = draw(st.sampled_from(MODES))
    (rows, one_row), (columns, one_column) = (interpolation(n, s, mode) for n, s in zip(size, scales, strict=True))
    zero_point, one = draw(INT8), one_row * one_column
    rule = channel_requantization(
        np.array([draw(st.floats(0.2, 3.0)) / one]), np.array([255 * one]), zero_point, draw(bounds(zero_point)), "x"
    )
    operator = ResizeLinear(
        rows=rows, columns=columns, one=(one_row, one_column), x_zero_point=draw(INT8), requantization=rule
    )
    return Case(operator, (draw(int8_arrays((1, *size, draw(st.integers(1, 5))))),))
