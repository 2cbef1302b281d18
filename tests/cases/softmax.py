"""Flat to steep, one class and more."""

from hypothesis import strategies as st

from nnrules.graph.ops.softmax import Softmax
from tests.cases.case import INT8, Case, Draw, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Flat to steep, one class and more."""
    operator = Softmax.of(draw(st.floats(0.001, 2.0)), draw(st.sampled_from([256, 128, 1000])), draw(INT8))
    return Case(operator, (draw(int8_arrays((1, draw(st.integers(1, 3)), draw(st.integers(1, 30))))),))
