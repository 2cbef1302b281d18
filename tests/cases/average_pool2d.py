"""Any window that always holds a value of the image, with and without counting the padding."""

from hypothesis import strategies as st

from nnrules.graph.ops.average_pool2d import AveragePool2d
from tests.cases.case import CHANNELS, INT8, Case, Draw, bounds, geometries, int8_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """Any window that always holds a value of the image, with and without counting the padding."""
    geometry, size = draw(geometries(dilated=False))
    zero_point = draw(INT8)
    included = draw(st.booleans())
    ratio = draw(st.floats(0.1, 4.0))
    operator = AveragePool2d(
        geometry=geometry,
        count_include_pad=included,
        x_zero_point=draw(INT8),
        requantization=AveragePool2d.multipliers(
            geometry, included, ratio, (zero_point, *draw(bounds(zero_point))), "pool"
        ),
    )
    return Case(operator, (draw(int8_arrays((1, *size, draw(CHANNELS)))),))
