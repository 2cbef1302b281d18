"""What the test cases share: a layer with its int8 inputs (NHWC, batch of one), extremes included."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.requant import INT32_LIMIT, Requantization, accumulator_bound
from nnrules.graph.thresholds import Thresholds

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
def broadcast_shapes(draw: Draw) -> tuple[Shape, Shape]:
    """Two shapes of one rank, a third of them alike; else any axis of either may be 1."""
    shape = [draw(st.integers(1, 7)) for _ in range(draw(st.integers(1, 3)))]
    alike = draw(st.sampled_from([True, False, False]))
    pair = [tuple(n if alike or draw(st.booleans()) else 1 for n in shape) for _ in range(2)]
    return pair[0], pair[1]


@st.composite
def bounds(draw: Draw, zero_point: int) -> tuple[int, int]:
    """No clamp, a Relu, or any clamp."""
    low, high = sorted((draw(INT8), draw(INT8)))
    return draw(st.sampled_from([(-128, 127), (zero_point, 127), (low, high)]))


@st.composite
def linear_parts(draw: Draw, weights: np.ndarray, x_zero_points: st.SearchStrategy[int] = INT8) -> dict[str, object]:
    """Bias, zero points and requantization for ``weights`` (out channels first) that keep the 32-bit certificate."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    channels, x_zero_point, zero_point = len(weights), draw(x_zero_points), draw(INT8)
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
def parts(draw: Draw, weights: np.ndarray, x_zero_points: st.SearchStrategy[int] = INT8) -> dict[str, object]:
    """The same, or in one of three cases thresholds: 2 to 16 levels, some out of an accumulator's reach, some alike."""
    found: dict[str, object] = draw(linear_parts(weights, x_zero_points))
    if draw(st.sampled_from([True, False, False])):
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        lo, edges = draw(st.sampled_from([0, -8, -128, 100])), draw(st.sampled_from([1, 2, 3, 7, 15]))
        spread = accumulator_bound(weights, np.zeros(len(weights), np.int64), found["x_zero_point"])
        reach = spread[:, np.newaxis] * draw(st.sampled_from([0.1, 1.0])) + 2
        values = np.sort(np.rint(generator.uniform(-1, 1, (len(weights), edges)) * reach), axis=1)
        found["bias"] = np.zeros(len(weights), np.int32)
        found["requantization"] = Thresholds(values.astype(np.int32), lo)
    return found


@st.composite
def weight_arrays(draw: Draw, shape: Shape) -> np.ndarray:
    """int8 of any values, or in two of five cases few and evenly apart, so that 1 to 4 bits hold them; in a third of
    all cases with zeros by vectors of input channels."""
    found = (
        draw(_few_values(shape))
        if draw(st.sampled_from([False, False, False, True, True]))
        else draw(int8_arrays(shape))
    )
    if draw(st.sampled_from([True, False, False])):
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        divisors = [n for n in (4, 8, 16, shape[-1]) if shape[-1] % n == 0]
        vectors = found.reshape(-1, draw(st.sampled_from(divisors)))
        vectors[generator.random(len(vectors)) < draw(st.sampled_from([0.3, 0.8, 1.0]))] = 0
    return found


@st.composite
def _few_values(draw: Draw, shape: Shape) -> np.ndarray:
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels, step = draw(st.integers(2, 16)), draw(st.sampled_from([1, 1, 2, 5]))
    low = draw(st.sampled_from([0, -step, -(step * levels) // 2, -128, 127 - step * (levels - 1)]))
    return (low + step * generator.integers(0, levels, shape)).astype(np.int8)


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
