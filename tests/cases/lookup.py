"""Any table."""

from hypothesis import strategies as st

from nnrules.graph.ops.lookup import Lookup
from tests.cases.case import Case, Draw, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Any table."""
    return Case(Lookup(table=draw(int8_arrays((256,)))), (draw(int8_arrays((1, draw(st.integers(1, 60))))),))
