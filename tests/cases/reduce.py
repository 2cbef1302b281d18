"""Any neighbouring axes of one to four; means, sums and extremes."""

import math

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.reduce import Reduce
from nnrules.graph.requant import channel_requantization
from tests.cases.case import INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Sums with ratios of scales from small to beyond one, largest and smallest values."""
    shape = tuple(draw(st.integers(1, 6)) for _ in range(draw(st.integers(1, 4))))
    begin = draw(st.integers(0, len(shape) - 1))
    end = draw(st.integers(begin + 1, len(shape)))
    x = draw(int8_arrays((1, *shape)))
    kind = draw(st.sampled_from(["sum", "sum", "max", "min"]))
    if kind != "sum":
        return Case(Reduce(kind=kind, begin=begin, end=end), (x,))
    zero_point, length = draw(INT8), math.prod(shape[begin:end])
    scale = draw(st.floats(0.1, 2.0)) / draw(st.sampled_from([1, length]))
    rule = channel_requantization(
        np.array([scale]), np.array([255 * length]), zero_point, draw(bounds(zero_point)), "sum"
    )
    operator = Reduce(kind=kind, begin=begin, end=end, x_zero_point=draw(INT8), requantization=rule)
    return Case(operator, (x,))
