"""Any window."""

from hypothesis import strategies as st

from nnrules.graph.ops.max_pool2d import MaxPool2d
from tests.cases.case import CHANNELS, Case, Draw, geometries, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Any window."""
    geometry, size = draw(geometries())
    return Case(MaxPool2d(geometry=geometry), (draw(int8_arrays((1, *size, draw(CHANNELS)))),))
