"""Slopes of any sign and size, zero among them."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.prelu import Prelu
from tests.cases.case import CHANNELS, INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Images and rows."""
    channels, zero_point = draw(CHANNELS), draw(INT8)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    slopes = generator.normal(0, draw(st.sampled_from([0.01, 0.3, 3.0])), channels)
    slopes = slopes * generator.choice([0, 1, 1], channels)
    ends = (zero_point, *draw(bounds(zero_point)))
    operator = Prelu.of(draw(st.floats(0.1, 3.0)), slopes, draw(INT8), ends, "prelu")
    leading = draw(st.lists(st.integers(1, 5), min_size=0, max_size=2))
    return Case(operator, (draw(int8_arrays((1, *leading, channels))),))
