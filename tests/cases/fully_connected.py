"""One to three rows."""

from hypothesis import strategies as st

from nnrules.graph.ops.fully_connected import FullyConnected
from tests.cases.case import CHANNELS, Case, Draw, int8_arrays, linear_parts


@st.composite
def cases(draw: Draw) -> Case:
    """One to three rows."""
    rows, in_c, out_c = draw(st.integers(1, 3)), draw(st.integers(1, 70)), draw(CHANNELS)
    operator = FullyConnected(**draw(linear_parts(draw(int8_arrays((out_c, in_c))))))
    return Case(operator, (draw(int8_arrays((1, rows, in_c))),))
