"""Any axis of one to four, few different values so that some are equal."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ops.arg_max import ArgMax
from tests.cases.case import Case, Draw, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """The first or last of the largest or smallest."""
    shape = tuple(draw(st.integers(1, 6)) for _ in range(draw(st.integers(1, 4))))
    x = draw(int8_arrays((1, *shape))) // np.int8(draw(st.sampled_from([1, 64])))
    operator = ArgMax(axis=draw(st.integers(0, len(shape) - 1)), smallest=draw(st.booleans()), last=draw(st.booleans()))
    return Case(operator, (x.astype(np.int8),))
