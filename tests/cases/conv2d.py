"""One group of any channels, several groups, and depthwise; a third without any dilation."""

from hypothesis import strategies as st

from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from tests.cases.case import CHANNELS, Case, Draw, geometries, int8_arrays, linear_parts


@st.composite
def cases(draw: Draw) -> Case:
    """One group of any channels, several groups, and depthwise; a third without any dilation."""
    geometry, size = draw(geometries(dilated=draw(st.sampled_from([False, False, True]))))
    kind = draw(st.sampled_from(["one group", "one group", "pointwise", "groups", "depthwise"]))
    if kind == "pointwise":
        geometry = Geometry(kernel=(1, 1), stride=geometry.stride)
    groups = {"groups": draw(st.integers(2, 3)), "depthwise": draw(CHANNELS)}.get(kind, 1)
    group_in, group_out = (1, 1) if kind == "depthwise" else (draw(CHANNELS), draw(CHANNELS))
    weights = draw(int8_arrays((groups * group_out, *geometry.kernel, group_in)))
    operator = Conv2d(geometry=geometry, groups=groups, **draw(linear_parts(weights)))
    return Case(operator, (draw(int8_arrays((1, *size, groups * group_in))),))
