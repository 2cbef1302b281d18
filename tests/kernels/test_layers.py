"""The kernels for DSP and small cores on layers that they are made for, which random layers seldom are: on the host
under sanitizers through their plain-C twins, and as assembly under the emulator.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.max_pool2d import MaxPool2d
from tests.cases import Case
from tests.cases.case import Draw, geometries, int8_arrays, linear_parts
from tests.kernels.test_kernels import KERNEL_LIST, check, long, quick, runs_of
from tests.needs import need_target

FOURS = st.sampled_from([4, 8, 12, 16, 20, 40])
PADDINGS = st.tuples(*[st.integers(0, 2)] * 4)


@st.composite
def winograd(draw: Draw) -> Case:
    """3x3, stride 1, any padding, odd sizes, one tile or several."""
    size = draw(st.integers(3, 11)), draw(st.integers(3, 11))
    channels, in_c = 2 * draw(st.integers(1, 5)), draw(FOURS)
    weights = draw(int8_arrays((channels, 3, 3, in_c)))
    operator = Conv2d(geometry=Geometry(kernel=(3, 3), padding=draw(PADDINGS)), **draw(linear_parts(weights)))
    return Case(operator, (draw(int8_arrays((1, *size, in_c))),))


@st.composite
def winograd_rows(draw: Draw) -> Case:
    """Three columns and up to five rows, row strides, widths that tiles of four divide and not, halved loops."""
    rows, width = draw(st.integers(1, 5)), draw(st.sampled_from([4, 5, 7, 8, 9, 16]))
    channels, in_c = 2 * draw(st.integers(1, 5)), draw(st.sampled_from([4, 8, 16, 20, 24, 32]))
    padding = draw(PADDINGS)
    geometry = Geometry(kernel=(rows, 3), stride=(draw(st.integers(1, 2)), 1), padding=padding)
    size = rows + draw(st.integers(0, 3)), max(width + 2 - padding[1] - padding[3], 3)
    operator = Conv2d(geometry=geometry, **draw(linear_parts(draw(int8_arrays((channels, rows, 3, in_c))))))
    return Case(operator, (draw(int8_arrays((1, *size, in_c))),))


@st.composite
def depthwise(draw: Draw) -> Case:
    """3x3, any strides and padding, bands of a large image, channels beyond what one store reaches."""
    size, channels = draw(st.tuples(st.integers(3, 40), st.integers(3, 60))), draw(st.sampled_from([4, 7, 8]))
    if draw(st.booleans()):
        size, channels = (
            draw(st.tuples(st.integers(3, 5), st.integers(3, 9))),
            draw(st.sampled_from([16, 252, 256, 260])),
        )
    geometry = Geometry(kernel=(3, 3), stride=draw(st.tuples(*[st.integers(1, 2)] * 2)), padding=draw(PADDINGS))
    weights = draw(int8_arrays((channels, 3, 3, 1)))
    operator = Conv2d(geometry=geometry, groups=channels, **draw(linear_parts(weights)))
    return Case(operator, (draw(int8_arrays((1, *size, channels))),))


@st.composite
def windows(draw: Draw) -> Case:
    """Few and many channels, kernels from 1x1 to 10x4, more taps than one pass of the unrolled loop takes; the simplest
    has two rows of one pixel."""
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 1), (10, 4), (5, 5), (1, 7)]))
    stride, in_c, channels = (
        draw(st.tuples(*[st.integers(1, 2)] * 2)),
        draw(st.integers(1, 20)),
        draw(st.integers(2, 9)),
    )
    size = kernel[0] + draw(st.sampled_from([1, 0, 2, 3, 4, 5])), kernel[1] + draw(st.integers(0, 5))
    geometry = Geometry(
        kernel=kernel,
        stride=stride,
        padding=tuple(min(p, k - 1) for p, k in zip(draw(PADDINGS), kernel * 2, strict=True)),
    )
    weights = draw(int8_arrays((channels, *kernel, in_c)))
    operator = Conv2d(geometry=geometry, **draw(linear_parts(weights)))
    return Case(operator, (draw(int8_arrays((1, *size, in_c))),))


@st.composite
def vectors(draw: Draw) -> Case:
    """Fully connected layers of up to three passes of the unrolled loop."""
    in_c, channels = draw(st.integers(1, 150)), draw(st.integers(4, 13))
    operator = FullyConnected(**draw(linear_parts(draw(int8_arrays((channels, in_c))))))
    return Case(operator, (draw(int8_arrays((1, draw(st.integers(1, 2)), in_c))),))


@st.composite
def pools(draw: Draw) -> Case:
    """Largest values of any window; the last four channels overlap those before, or not."""
    geometry, size = draw(geometries())
    return Case(MaxPool2d(geometry=geometry), (draw(int8_arrays((1, *size, draw(st.integers(4, 13))))),))


KINDS = {
    "conv2d_winograd_s8__armv7em": winograd,
    "conv2d_winograd_row_s8__armv7em": winograd_rows,
    "depthwise_3x3_s8__armv7em": depthwise,
    "depthwise_3x3_s8__armv6m": depthwise,
    "depthwise_3x3_s8__rv32imc": depthwise,
    "conv2d_dense_s8__armv7em": windows,
    "conv2d_1x1_s8__armv7em": windows,
    "fully_connected_dense_s8__armv7em": vectors,
    "fully_connected_s8__rv32imc": vectors,
    "max_pool2d_s8__armv7em": pools,
}


def groups(count: int) -> st.SearchStrategy[tuple[list[Case], ...]]:
    """So many of each kind."""
    return st.tuples(*(st.lists(kind(), min_size=count, max_size=count) for kind in dict.fromkeys(KINDS.values())))


@pytest.mark.parametrize("target", ["x86-64", "cortex-m7", "cortex-m0plus", "riscv32"])
def test_layers_for_kernels(target: str) -> None:
    """Every kernel that takes them, whatever its variant."""
    need_target(target)

    @quick
    @given(groups(3))
    def property_holds(drawn: tuple[list[Case], ...]) -> None:
        check([case for cases in drawn for case in cases], target, sanitize=target == "x86-64")

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", ["x86-64", "cortex-m4", "cortex-m7", "cortex-m0plus", "riscv32"])
def test_campaign(target: str) -> None:
    """The same with other layers each time."""
    need_target(target)

    @long
    @given(groups(8))
    def property_holds(drawn: tuple[list[Case], ...]) -> None:
        check([case for cases in drawn for case in cases], target, sanitize=target == "x86-64")

    property_holds()


@pytest.mark.parametrize("name", KINDS)
def test_the_layers_suit_the_kernels(name: str) -> None:
    """Two of sixty layers at the least are for each of its variants."""
    (kernel,) = (kernel for kernel in KERNEL_LIST if kernel.name == name)

    @quick
    @given(st.lists(KINDS[name](), min_size=60, max_size=60))
    def property_holds(cases: list[Case]) -> None:
        taken = [run for run in runs_of(cases, (kernel.isa,)) if run.kernel is kernel]
        assert all(sum(run.variant == variant for run in taken) >= 2 for variant in kernel.variants())

    property_holds()
