"""Two to four inputs along any axis, the identity among the scales."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.concat import Concat
from nnrules.graph.requant import Requantization
from tests.cases.case import INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Two to four inputs along any axis, the identity among the scales."""
    axis, count = draw(st.integers(0, 2)), draw(st.integers(2, 4))
    shape = [draw(st.integers(1, 5)) for _ in range(3)]
    shapes = [[draw(st.integers(1, 6)) if i == axis else n for i, n in enumerate(shape)] for _ in range(count)]
    multiplier = [draw(st.one_of(st.just(2**30), st.integers(0, 2**30 - 1).map(lambda half: 2 * half))) for _ in shapes]
    shift = [2 if m == 2**30 else draw(st.integers(0, 4)) for m in multiplier]
    zero_point = draw(INT8)
    requantization = Requantization(
        np.array(multiplier, np.int32), np.array(shift, np.uint8), zero_point, *draw(bounds(zero_point))
    )
    operator = Concat(axis=axis, x_zero_points=tuple(draw(INT8) for _ in shapes), requantization=requantization)
    return Case(operator, tuple(draw(int8_arrays((1, *each))) for each in shapes))
