"""Any stride, dilation, groups and size of the output, further rows and columns of nothing but the bias included."""

from hypothesis import strategies as st

from nnrules.graph.ops.conv_transpose2d import ConvTranspose2d
from tests.cases.case import CHANNELS, Case, Draw, int8_arrays, linear_parts


@st.composite
def cases(draw: Draw) -> Case:
    """Kernels of one to four."""
    sides = []
    for _ in range(2):
        length, kernel, stride = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 3))
        dilation, cut = draw(st.integers(1, 2)), draw(st.integers(0, kernel))
        full = (length - 1) * stride + (kernel - 1) * dilation + 1
        sides.append((length, kernel, stride, dilation, cut, max(1, full - cut + draw(st.integers(-2, 2)))))
    size, kernel, stride, dilation, cut, out = zip(*sides, strict=True)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    group_in, group_out = draw(CHANNELS), draw(st.integers(1, 6))
    weights = draw(int8_arrays((groups * group_out, *kernel, group_in)))
    operator = ConvTranspose2d(
        stride=stride, dilation=dilation, cut=cut, size=out, groups=groups, **draw(linear_parts(weights))
    )
    return Case(operator, (draw(int8_arrays((1, *size, groups * group_in))),))
