"""One vector, or rows in one or two axes."""

from hypothesis import strategies as st

from nnrules.graph.ops.fully_connected import FullyConnected
from tests.cases.case import CHANNELS, Case, Draw, int8_arrays, parts, weight_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """One vector, or rows in one or two axes."""
    rows = draw(st.lists(st.integers(1, 3), max_size=2))
    in_c, out_c = draw(st.integers(1, 70)), draw(CHANNELS)
    operator = FullyConnected(**draw(parts(draw(weight_arrays((out_c, in_c))))))
    return Case(operator, (draw(int8_arrays((1, *rows, in_c))),))
