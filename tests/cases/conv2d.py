"""One group of any channels, odd columns of windows two apart, several groups, and depthwise; a third dilated."""

from hypothesis import strategies as st

from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from tests.cases.case import CHANNELS, Case, Draw, geometries, int8_arrays, parts, weight_arrays


@st.composite
def cases(draw: Draw) -> Case:
    """See above; a column of a window has kernel height times in channels values."""
    geometry, size = draw(geometries(dilated=draw(st.sampled_from([False, False, True]))))
    kind = draw(st.sampled_from(["one group", "one group", "pointwise", "odd columns", "groups", "depthwise"]))
    if kind == "pointwise":
        geometry = Geometry(kernel=(1, 1), stride=geometry.stride)
    if kind == "odd columns":
        geometry = Geometry(kernel=(draw(st.sampled_from([1, 3])), draw(st.integers(1, 4))), stride=(1, 2))
        size = geometry.kernel[0] + draw(st.integers(0, 4)), geometry.kernel[1] + draw(st.integers(0, 9))
    groups = {"groups": draw(st.integers(2, 3)), "depthwise": draw(CHANNELS)}.get(kind, 1)
    group_in, group_out = (1, 1) if kind == "depthwise" else (draw(CHANNELS), draw(CHANNELS))
    if kind == "odd columns":
        group_in |= 1
    weights = draw(weight_arrays((groups * group_out, *geometry.kernel, group_in)))
    operator = Conv2d(geometry=geometry, groups=groups, **draw(parts(weights)))
    return Case(operator, (draw(int8_arrays((1, *size, groups * group_in))),))
