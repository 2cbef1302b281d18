"""Hypothesis strategies of single layers: an operator's record and int8 inputs (NHWC, batch of one), with extremes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.add import LARGEST_SHIFT, Add
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.concat import Concat
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.ops.softmax import Softmax
from nnrules.graph.requant import INT32_LIMIT, Requantization, accumulator_bound

Draw = Callable[[st.SearchStrategy], int]  # type: ignore[type-arg]

INT8 = st.one_of(st.sampled_from([-128, -127, -1, 0, 1, 127]), st.integers(-128, 127))
CHANNELS = st.one_of(st.integers(1, 9), st.sampled_from([12, 16, 17, 24, 40]))


@dataclass(frozen=True)
class Case:
    """One layer and what it is fed; ``inputs`` int8 with a leading batch axis of one."""

    operator: Operator
    inputs: tuple[np.ndarray, ...]

    @property
    def shapes(self) -> list[Shape]:
        """The inputs' shapes without batch."""
        return [x.shape[1:] for x in self.inputs]


@st.composite
def int8_arrays(draw: Draw, shape: Shape) -> np.ndarray:
    """Uniform values, only the two ends of the range, or one value everywhere."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["uniform", "ends", "constant"]))
    if kind == "uniform":
        return generator.integers(-128, 128, shape).astype(np.int8)
    if kind == "ends":
        return generator.choice(np.array([-128, 127], np.int8), shape)
    return np.full(shape, draw(INT8), np.int8)


@st.composite
def bounds(draw: Draw, zero_point: int) -> tuple[int, int]:
    """No clamp, a Relu, or any clamp."""
    low, high = sorted((draw(INT8), draw(INT8)))
    return draw(st.sampled_from([(-128, 127), (zero_point, 127), (low, high)]))


@st.composite
def linear_parts(draw: Draw, weights: np.ndarray) -> dict[str, object]:
    """Bias, zero points and requantization for ``weights`` (out channels first) that keep the 32-bit certificate."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, x_zero_point, zero_point = len(weights), draw(INT8), draw(INT8)
    spread = accumulator_bound(weights, np.zeros(channels, np.int64), x_zero_point)
    room = INT32_LIMIT - 1 - 2 * int(spread.max())
    reach = draw(st.sampled_from([0, 1000, 10**6, room]))
    bias = generator.integers(-reach, reach + 1, channels)
    widest = accumulator_bound(weights, bias, x_zero_point)
    headroom = np.array([(INT32_LIMIT - 1).bit_length() - int(bound).bit_length() for bound in widest])
    shift = generator.integers(0, headroom + 1) * draw(st.booleans())
    exact = np.clip(200 * 2.0**32 / np.maximum(widest, 1).astype(float), 0, 2**31 - 2).astype(np.int64)
    anything = generator.choice([0, 2**16, 2**30, 2**31 - 2], channels)
    multiplier = np.where(generator.random(channels) < 0.8, exact, anything) // 2 * 2
    requantization = Requantization(
        multiplier.astype(np.int32), shift.astype(np.uint8), zero_point, *draw(bounds(zero_point))
    )
    return {
        "weights": weights, "bias": bias.astype(np.int32),
        "x_zero_point": x_zero_point, "requantization": requantization,
    }  # fmt: skip


@st.composite
def geometries(draw: Draw, dilated: bool = True) -> tuple[Geometry, tuple[int, int]]:
    """A window and an image (height, width) on which it has at least one position."""
    sides = []
    for _ in range(2):
        kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 3))
        dilation = draw(st.integers(1, 2)) if dilated else 1
        before, after = draw(st.integers(0, kernel - 1)), draw(st.integers(0, kernel - 1))
        smallest = max(1, dilation * (kernel - 1) + 1 - before - after)
        sides.append((kernel, stride, dilation, before, after, draw(st.integers(smallest, smallest + 8))))
    kernel, stride, dilation, before, after, size = zip(*sides, strict=True)
    return Geometry(kernel=kernel, stride=stride, dilation=dilation, padding=(*before, *after)), size


@st.composite
def conv2d_cases(draw: Draw) -> Case:
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


@st.composite
def fully_connected_cases(draw: Draw) -> Case:
    """One to three rows."""
    rows, in_c, out_c = draw(st.integers(1, 3)), draw(st.integers(1, 70)), draw(CHANNELS)
    operator = FullyConnected(**draw(linear_parts(draw(int8_arrays((out_c, in_c))))))
    return Case(operator, (draw(int8_arrays((1, rows, in_c))),))


@st.composite
def add_cases(draw: Draw) -> Case:
    """Ratios of scales from far apart to one."""
    ratios = draw(st.floats(0.01, 4.0)), draw(st.floats(0.01, 4.0))
    zero_point = draw(INT8)
    zero_points = draw(INT8), draw(INT8)
    operator = Add.of(ratios, zero_points, zero_point, draw(bounds(zero_point)), "add")
    assert operator.k <= LARGEST_SHIFT
    shape = (1, draw(st.integers(1, 40)))
    return Case(operator, (draw(int8_arrays(shape)), draw(int8_arrays(shape))))


@st.composite
def max_pool2d_cases(draw: Draw) -> Case:
    """Any window."""
    geometry, size = draw(geometries())
    return Case(MaxPool2d(geometry=geometry), (draw(int8_arrays((1, *size, draw(CHANNELS)))),))


@st.composite
def average_pool2d_cases(draw: Draw) -> Case:
    """Any window that always holds a value of the image, with and without counting the padding."""
    geometry, size = draw(geometries(dilated=False))
    zero_point = draw(INT8)
    ratio = draw(st.integers(1, 40)) / 10
    operator = AveragePool2d(
        geometry=geometry,
        count_include_pad=draw(st.booleans()),
        x_zero_point=draw(INT8),
        requantization=AveragePool2d.multipliers(ratio, geometry.kernel, zero_point, draw(bounds(zero_point)), "pool"),
    )
    return Case(operator, (draw(int8_arrays((1, *size, draw(CHANNELS)))),))


@st.composite
def concat_cases(draw: Draw) -> Case:
    """Two to four inputs along any axis, the identity among the scales."""
    axis, count = draw(st.integers(0, 2)), draw(st.integers(2, 4))
    shape = [draw(st.integers(1, 5)) for _ in range(3)]
    shapes = [[draw(st.integers(1, 6)) if i == axis else n for i, n in enumerate(shape)] for _ in range(count)]
    multiplier = [draw(st.one_of(st.just(2**30), st.integers(0, 2**30 - 1).map(lambda half: 2 * half))) for _ in shapes]
    shift = [2 if m == 2**30 else draw(st.integers(0, 4)) for m in multiplier]
    zero_point = draw(INT8)
    requantization = Requantization(
        np.array(multiplier, np.int32), np.array(shift, np.uint8), zero_point, *draw(bounds(zero_point))
    )
    operator = Concat(axis=axis, x_zero_points=tuple(draw(INT8) for _ in shapes), requantization=requantization)
    return Case(operator, tuple(draw(int8_arrays((1, *each))) for each in shapes))


@st.composite
def lookup_cases(draw: Draw) -> Case:
    """Any table."""
    return Case(Lookup(table=draw(int8_arrays((256,)))), (draw(int8_arrays((1, draw(st.integers(1, 60))))),))


@st.composite
def softmax_cases(draw: Draw) -> Case:
    """Flat to steep, one class and more."""
    operator = Softmax.of(draw(st.floats(0.001, 2.0)), draw(st.sampled_from([256, 128, 1000])), draw(INT8))
    return Case(operator, (draw(int8_arrays((1, draw(st.integers(1, 3)), draw(st.integers(1, 30))))),))


CASES: dict[str, st.SearchStrategy[Case]] = {
    "conv2d": conv2d_cases(),
    "fully_connected": fully_connected_cases(),
    "add": add_cases(),
    "max_pool2d": max_pool2d_cases(),
    "average_pool2d": average_pool2d_cases(),
    "concat": concat_cases(),
    "lookup": lookup_cases(),
    "softmax": softmax_cases(),
}
"""A strategy for each operator that has kernels, by the operator's name."""
