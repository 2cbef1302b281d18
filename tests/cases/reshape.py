"""An image as a vector, a vector as an image."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.operator import Shape
from nnrules.graph.ops.reshape import Reshape
from tests.cases.case import Case, Draw, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """The two shapes in either order."""
    image: Shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    before, after = draw(st.permutations([image, (int(np.prod(image)),)]))
    return Case(Reshape(shape=after), (draw(int8_arrays((1, *before))),))
