"""Equal shapes, gates, scalars, and outer products; multipliers from tiny to beyond one half."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.mul import LARGEST_PRODUCT, Mul
from nnrules.graph.requant import channel_requantization
from tests.cases.case import INT8, Case, Draw, bounds, broadcast_shapes, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Two inputs of one to three axes."""
    zero_point = draw(INT8)
    scale = draw(st.one_of(st.floats(1e-5, 0.1), st.floats(0.1, 100.0)))
    rule = channel_requantization(
        np.array([scale]), np.array([LARGEST_PRODUCT]), zero_point, draw(bounds(zero_point)), "mul"
    )
    operator = Mul(x_zero_points=(draw(INT8), draw(INT8)), requantization=rule)
    return Case(operator, tuple(draw(int8_arrays((1, *shape))) for shape in draw(broadcast_shapes())))
