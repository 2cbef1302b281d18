"""What drawn cases seldom reach of the kernels for Helium: as instructions under the emulator, and their twins."""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nnrules.graph.operator import Geometry
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.requant import Requantization
from tests.cases import Case
from tests.kernels.programs import Run, build, differences, execute
from tests.kernels.test_kernels import runs_of
from tests.needs import need_target

TARGETS = ["x86-64", "cortex-m55"]


@pytest.mark.parametrize("target", TARGETS)
def test_every_number_of_steps(target: str) -> None:
    """Unrolled, and in loops with none to three steps before them; full and partial blocks of outputs."""
    need_target(target)
    sizes = [16 * steps - odd for steps in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 40) for odd in (0, 3)]
    convolutions = [convolution(size, 4 + size % 7, (1, 1), size) for size in sizes]
    layers = [fully_connected(size, 8 + size % 11, size) for size in sizes]
    check_helium([*convolutions, *layers], target)


@pytest.mark.parametrize("target", TARGETS)
def test_kernel_rows_of_every_length(target: str) -> None:
    """Rows that end inside a vector may not be read or written past the buffers."""
    need_target(target)
    shapes = [(1, (5, 4)), (3, (3, 3)), (5, (2, 3)), (16, (3, 3)), (17, (3, 1)), (8, (4, 4)), (40, (1, 3))]
    cases = [convolution(in_c, 6, kernel, in_c, (7, 6)) for in_c, kernel in shapes]
    check_helium(cases, target)


@pytest.mark.parametrize("target", TARGETS)
def test_depthwise(target: str) -> None:
    """Whole and overlapping groups of channels, strides, odd sizes, windows smaller than 3x3, shifts and bounds."""
    need_target(target)
    cases = [
        depthwise(channels, size, kernel, stride, seed)
        for seed, (channels, size) in enumerate(
            [
                (16, (4, 5)),
                (8, (5, 6)),
                (4, (3, 4)),
                (2, (3, 8)),
                (1, (4, 16)),
                (17, (6, 3)),
                (40, (2, 2)),
                (32, (7, 7)),
            ]
        )
        for kernel, stride in [((3, 3), 1), ((3, 3), 2), ((2, 3), 1), ((1, 2), 2)]
    ]
    assert {run.kernel.name for run in check_helium(cases, target)} >= {"depthwise_conv2d_s8__mve"}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("right", [0, 1])
def test_depthwise_on_tall_images(target: str, right: int) -> None:
    """Columns as rows, in place where the image stays as wide; whole and overlapping groups, strides."""
    need_target(target)
    layers = [(16, (25, 5), (3, 3), 1), (32, (7, 4), (3, 3), 1), (17, (6, 3), (3, 3), 2), (16, (9, 4), (3, 2), 1)]
    cases = []
    for seed, layer in enumerate(layers):
        case = depthwise(*layer, seed)
        geometry = msgspec.structs.replace(case.operator.geometry, padding=(1, 1, 1, right))
        cases.append(Case(msgspec.structs.replace(case.operator, geometry=geometry), case.inputs))
    runs = [run for run in check_helium(cases, target) if run.variant.get("turned")]
    assert len(runs) == len(cases)
    assert any(run.kernel.runs_in_place(run.parameters) for run in runs)


@pytest.mark.parametrize("target", TARGETS)
def test_depthwise_windows_of_any_size(target: str) -> None:
    """One gather and many, rows of every number of tiles, an odd number of rows, strides, dilation, a row a gather."""
    need_target(target)
    windows = [
        ((5, 5), 1, 1), ((5, 5), 2, 1), ((7, 7), 1, 1), ((9, 9), 1, 1), ((1, 16), 1, 1), ((9, 1), 1, 1), ((3, 3), 1, 2),
        ((3, 3), 3, 1), ((2, 3), 1, 6), ((3, 5), 2, 2), ((4, 2), 2, 3), ((1, 1), 1, 1),
    ]  # fmt: skip
    cases = [
        depthwise(3, size, kernel, stride, seed, dilation)
        for seed, (kernel, stride, dilation) in enumerate(windows)
        for size in [(19, 37), (20, 12), (7, 40)]
    ]
    cases += [
        depthwise(3, (20, 12), kernel, 1, 0, multiple=multiple) for kernel in ((5, 5), (1, 1)) for multiple in (2, 3)
    ]
    runs = [run for run in check_helium(cases, target) if run.kernel.name == "depthwise_windows_s8__mve"]
    assert {run.variant["single"] for run in runs} == {0, 1}
    assert len(runs) >= len(cases)


@pytest.mark.parametrize("target", TARGETS)
def test_averages_of_many_values(target: str) -> None:
    """More than sums of 16 bits hold, in one part, in even parts and in others; all values the smallest."""
    need_target(target)
    windows = [(1, 256, 5), (1, 257, 8), (16, 16, 16), (17, 16, 17), (20, 20, 24), (256, 2, 1), (3, 100, 40)]
    cases = [average(height, width, channels) for height, width, channels in windows]
    assert {run.kernel.name for run in check_helium(cases, target)} == {"average_pool2d_s8__mve"}


def check_helium(cases: list[Case], target: str) -> list[Run]:
    """Build, run and compare what these kernels alone make of the cases; the runs."""
    runs = [run for run in runs_of(cases, ("mve",)) if run.kernel.isa == "mve"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        execute(folder, target, build(folder, target, runs, target == "x86-64"), runs)
        assert not differences(folder, runs), "\n".join(differences(folder, runs))
    return runs


def requantization(channels: int, generator: np.random.Generator) -> Requantization:
    """Random multipliers; every other one has shifts, every third one narrower bounds."""
    shift = generator.integers(0, 4, channels) * generator.integers(0, 2)
    bounds = (-128, 127) if generator.integers(0, 3) else (-60, 41)
    multiplier = generator.integers(2**16, 2**23, channels) * 2
    return Requantization(
        multiplier.astype(np.int32), shift.astype(np.uint8), int(generator.integers(-128, 128)), *bounds
    )


def convolution(in_c: int, out_c: int, kernel: tuple[int, int], seed: int, size: tuple[int, int] = (3, 3)) -> Case:
    """One group; with a kernel larger than 1x1 padded by one on each side."""
    generator = np.random.default_rng(seed)
    padding = (int(kernel != (1, 1)),) * 4
    operator = Conv2d(
        geometry=Geometry(kernel=kernel, padding=padding),
        weights=generator.integers(-128, 128, (out_c, *kernel, in_c)).astype(np.int8),
        bias=generator.integers(-1000, 1000, out_c).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=requantization(out_c, generator),
    )
    return Case(operator, (generator.integers(-128, 128, (1, *size, in_c)).astype(np.int8),))


def depthwise(
    channels: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: int,
    seed: int,
    dilation: int = 1,
    multiple: int = 1,
) -> Case:
    """Padded like SAME on three sides; `multiple` outputs of each channel."""
    generator = np.random.default_rng(seed)
    operator = Conv2d(
        geometry=Geometry(
            kernel=kernel,
            stride=(stride, stride),
            dilation=(dilation, dilation),
            padding=(kernel[0] // 2, 1, 1, kernel[1] // 2),
        ),
        groups=channels,
        weights=generator.integers(-128, 128, (multiple * channels, *kernel, 1)).astype(np.int8),
        bias=generator.integers(-1000, 1000, multiple * channels).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=requantization(multiple * channels, generator),
    )
    return Case(operator, (generator.integers(-128, 128, (1, *size, channels)).astype(np.int8),))


def average(height: int, width: int, channels: int) -> Case:
    """Over the whole image, of the smallest value alone."""
    geometry = Geometry(kernel=(height, width))
    rule = AveragePool2d.multipliers(geometry, False, 0.4, (-1, -128, 127), "pool")
    operator = AveragePool2d(geometry=geometry, x_zero_point=127, requantization=rule)
    return Case(operator, (np.full((1, height, width, channels), -128, np.int8),))


def fully_connected(in_c: int, out_c: int, seed: int) -> Case:
    """Two rows."""
    generator = np.random.default_rng(seed)
    operator = FullyConnected(
        weights=generator.integers(-128, 128, (out_c, in_c)).astype(np.int8),
        bias=generator.integers(-1000, 1000, out_c).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=requantization(out_c, generator),
    )
    return Case(operator, (generator.integers(-128, 128, (1, 2, in_c)).astype(np.int8),))
