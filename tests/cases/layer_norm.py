"""Rows of one and more values, alike or at the ends of the range; epsilon from hardly any to most of the variance."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.layer_norm import LayerNorm
from tests.cases.case import INT8, Case, Draw, bounds, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Up to two leading axes."""
    leading = draw(st.lists(st.integers(1, 4), max_size=2))
    length = draw(st.one_of(st.integers(1, 40), st.sampled_from([64, 255, 1000, 4096])))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gain = generator.normal(0, 1, length) * draw(st.sampled_from([0.0, 0.1, 1.0, 10.0]))
    bias = generator.normal(0, 1, length) * draw(st.sampled_from([0.0, 1.0, 100.0]))
    zero_point = draw(INT8)
    output = (draw(st.floats(0.01, 0.2)), zero_point, *draw(bounds(zero_point)))
    epsilon = draw(st.sampled_from([1e-12, 0.02, 3.0, 1e4]))
    return Case(LayerNorm.of(gain, bias, epsilon, output, "x"), (draw(int8_arrays((1, *leading, length))),))
