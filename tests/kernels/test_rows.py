"""Kernels that take the rows of their input one by one: averages summed up row by row, and shapes that drawn cases
seldom reach of the kernels for Armv7E-M, as instructions under the emulator and their twins.
"""

import numpy as np
import pytest

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS
from nnrules.codegen.ctext import array
from nnrules.codegen.packing import pack
from nnrules.codegen.render import render
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.requant import Requantization
from nnrules.plan.costs import Costs
from nnrules.plan.select import Offers
from tests.cases import Case
from tests.kernels.programs import Run, check_runs
from tests.kernels.test_kernels import runs_of, stored_weights
from tests.needs import need_target

TARGETS = ["x86-64", "cortex-m7"]


class Summed(Run):
    """One kernel of `average_rows` on all rows of a case in turn; the sums lie in the scratch."""

    def source(self, index: int) -> str:
        """As of Run."""
        constants = pack(self.kernel.packing, self.case.operator, self.parameters)
        names = {role: f"{role}_{index}" for role in constants}
        height, width, channels = self.case.shapes[0]
        arguments = ", ".join(["row", *names.values()])
        return "\n".join([
            *(array(names[role], values, "static const") for role, values in constants.items()),
            render(
                self.kernel.template.relative_to(KERNELS).as_posix(),
                name=f"kernel_{index}",
                **self.kernel.known(self.parameters),
            ),
            f"static void call_{index}(int8_t **x, int8_t *y, void *scratch)",
            f"{{ for (int row = 0; row < {height}; row++) {{ "
            f"kernel_{index}(x[0] + row * {width * channels}, y, scratch, {arguments}); }} }}",
            f"static const struct test test_{index} = {{call_{index}, 1, {{{height * width * channels}}}, "
            f"{channels}, {4 * channels}, 0}};",
        ])  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_averages_of_rows(target: str) -> None:
    """Of random values and of the smallest alone, as far as the sums of a row go; channels in fours and not."""
    need_target(target)
    shapes = [(1, 1, 4), (5, 1, 3), (25, 5, 64), (8, 8, 20), (3, 255, 8), (2, 256, 4), (300, 100, 4)]
    cases = [average(shape, value) for shape in shapes for value in (None, -128, 127)]
    kernels = [kernel for kernel in load_kernels() if kernel.op == "average_rows"]
    runs = [Summed(kernel, case) for case in cases for kernel in kernels]
    runs = [run for run in runs if run.kernel.refusal(run.parameters, ("armv7em",)) is None]
    assert {run.kernel.isa for run in runs} == {"armv7em", "portable"}
    check(runs, target)


@pytest.mark.parametrize("target", TARGETS)
def test_depthwise_rows(target: str) -> None:
    """Rows of every length that is unrolled or looped over, odd and even heights, all paddings, channels far apart."""
    need_target(target)
    paddings = [(1, 1, 1, 1), (0, 0, 1, 1), (2, 1, 0, 0), (1, 2, 2, 2)]
    shapes = [(6, 1, 4), (7, 2, 8), (2, 3, 4), (6, 7, 8), (7, 8, 4), (6, 12, 4), (6, 13, 4), (4, 14, 8), (6, 29, 4)]
    cases = [
        depthwise(shape, stride, paddings[(index + stride + 2 * more) % 4])
        for index, shape in enumerate(shapes)
        for stride in (1, 2)
        for more in (0, 1)
        if shape[1] + sum(paddings[(index + stride + 2 * more) % 4][1::2]) >= 3
    ]
    cases += [depthwise((3, 3, 256), 1, paddings[0]), depthwise((4, 3, 300), 2, paddings[1]), depthwise((2, 3, 680), 1)]
    runs = [run for run in runs_of(cases, ("armv7em",)) if run.kernel.name == "depthwise_rows_s8__armv7em"]
    assert {run.band for run in runs} == {0, 1, 2, 3}
    assert len({id(run.case) for run in runs}) == len(cases)
    check(runs, target)


@pytest.mark.parametrize("target", TARGETS)
def test_convolutions_in_pieces(target: str) -> None:
    """Rows in every number of pieces, of the fewest columns and of more; odd channels, both strides, all paddings."""
    need_target(target)
    cases = [
        convolution((kernel + 1, columns * stride + kernel - stride - 1, channels), kernel, stride)
        for columns in (4, 6, 8, 12, 16, 24)
        for kernel, stride, channels in ((3, 1, 5), (3, 2, 4), (5, 1, 3), (3, 1, 16), (4, 2, 1))
    ]
    (kernel,) = (each for each in load_kernels() if each.name == "conv2d_pieces_s8__armv7em")
    runs = [run for run in runs_of(cases, ("armv7em",)) if run.kernel.name == kernel.name]
    taken = [(run.variant["pieces"], run.variant["wide"]) for run in runs]
    assert all(taken.count((each["pieces"], each["wide"])) >= 2 for each in kernel.variants())
    check(runs, target)


@pytest.mark.parametrize("target", TARGETS)
def test_weights_of_two_sizes(target: str) -> None:
    """Convolutions whose last channels have int8 weights, in each share of them: with channels in fours and not."""
    need_target(target)
    cases = [dense((3, 8, 60), (3, 3), 1), dense((4, 8, 29), (3, 6), 2)]
    runs = [run for run in runs_of(cases, ("armv7em",)) if run.kernel.name == "conv2d_mixed_s8__armv7em"]
    assert {run.variant["narrow"] for run in runs} == {1, 2, 3, 4, 6, 8}
    assert {id(run.case) for run in runs} == {id(case) for case in cases}
    assert all(stored_weights(run) == run.kernel.weight_bytes(run.parameters) for run in runs)
    check([run for run in runs if run.band < 2], target)


def check(runs: list[Run], target: str) -> None:
    """Build, run and compare."""
    check_runs(runs, target, target == "x86-64")


def average(shape: tuple[int, int, int], value: int | None) -> Case:
    """Over the whole image, of random values or of one alone."""
    geometry = Geometry(kernel=shape[:2])
    rule = AveragePool2d.multipliers(geometry, False, 0.7, (-1, -128, 127), "pool")
    x = np.random.default_rng(shape[1]).integers(-128, 128, (1, *shape)).astype(np.int8)
    operator = AveragePool2d(geometry=geometry, x_zero_point=-3, requantization=rule)
    return Case(operator, (x if value is None else np.full_like(x, value),))


def convolution(shape: tuple[int, int, int], kernel: int, stride: int) -> Case:
    """Six channels, random, with one row and one column of padding on each side; no multiplier shifts."""
    generator = np.random.default_rng(sum(shape))
    operator = Conv2d(
        geometry=Geometry(kernel=(kernel, kernel), stride=(stride, stride), padding=(1, 1, 1, 1)),
        weights=generator.integers(-128, 128, (6, kernel, kernel, shape[2])).astype(np.int8),
        bias=generator.integers(-1000, 1000, 6).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=Requantization(
            generator.integers(2**18, 2**22, 6).astype(np.int32), np.zeros(6, np.uint8), 3, -128, 120
        ),
    )
    return Case(operator, (generator.integers(-128, 128, (1, *shape)).astype(np.int8),))


def dense(shape: tuple[int, int, int], kernel: tuple[int, int], stride: int) -> Case:
    """32 output channels, random; with strides narrower bounds."""
    generator = np.random.default_rng(shape[2])
    bounds = (-128, 127) if stride == 1 else (-60, 41)
    right = stride * 7 + kernel[1] - shape[1] - 1  # eight columns of outputs
    operator = Conv2d(
        geometry=Geometry(kernel=kernel, stride=(stride, stride), padding=(1, 1, 1, right)),
        weights=generator.integers(-128, 128, (32, *kernel, shape[2])).astype(np.int8),
        bias=generator.integers(-1000, 1000, 32).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=Requantization(
            generator.integers(2**18, 2**21, 32).astype(np.int32), np.zeros(32, np.uint8), 3, *bounds
        ),
    )
    return Case(operator, (generator.integers(-128, 128, (1, *shape)).astype(np.int8),))


def depthwise(shape: tuple[int, int, int], stride: int, padding: tuple[int, int, int, int] = (1, 1, 1, 1)) -> Case:
    """3x3, random; every other one has narrower bounds."""
    channels = shape[2]
    generator = np.random.default_rng(shape[1])
    bounds = (-128, 127) if stride == 1 else (-60, 41)
    operator = Conv2d(
        geometry=Geometry(kernel=(3, 3), stride=(stride, stride), padding=padding),
        groups=channels,
        weights=generator.integers(-128, 128, (channels, 3, 3, 1)).astype(np.int8),
        bias=generator.integers(-1000, 1000, channels).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=Requantization(
            generator.integers(2**18, 2**23, channels).astype(np.int32), np.zeros(channels, np.uint8), -7, *bounds
        ),
    )
    return Case(operator, (generator.integers(-128, 128, (1, *shape)).astype(np.int8),))


def test_code_for_one_size_is_for_layers_that_share_it() -> None:
    """Of several sizes, those of three layers or more have code of their own; a network's only size has it too."""

    def taken(*widths: int) -> list[set[int]]:
        tensors, nodes = {}, []
        for index, width in enumerate(widths):
            operator = depthwise((6, width, 8), 1).operator
            for name in (f"x{index}", f"y{index}"):
                tensors[name] = Tensor(name=name, shape=(6, width, 8), scale=1.0, zero_point=0)
            nodes.append(Node(name=f"{index}", inputs=(f"x{index}",), output=f"y{index}", operator=operator))
        inputs, outputs = (tuple(f"{kind}{index}" for index in range(len(widths))) for kind in "xy")
        graph = Graph(name="several", inputs=inputs, outputs=outputs, tensors=tensors, nodes=tuple(nodes))
        offers = Offers(graph, load_kernels(), ("armv7em", "portable"), Costs())
        return [{c.variant["own"] for c in offers.candidates(i, 1)[0] if "own" in c.variant} for i in range(len(nodes))]

    assert taken(5) == [{0, 1}]
    assert taken(5, 5) == [{0, 1}] * 2
    assert taken(5, 6) == [{0}] * 2
    assert taken(5, 6, 5, 5) == [{0, 1}, {0}, {0, 1}, {0, 1}]
