"""The kernel for Armv7E-M that skips vectors of weights which are zero, on shapes that drawn cases seldom reach: as
instructions under the emulator and its twin; and what it saves.
"""

import tempfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.stripes import FAMILIES, GOAL, Layer, fastest, pruned, saved
from nnrules.catalog.kernel import load_kernels
from nnrules.graph.operator import Geometry, Shape
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.requant import Requantization
from nnrules.graph.thresholds import Thresholds
from nnrules.plan.planner import make_plan
from tests.cases import Case
from tests.kernels.programs import Run, build, differences, execute
from tests.kernels.test_kernels import runs_of, stored_weights
from tests.needs import need_target

KERNEL = "conv2d_stripes_s8__armv7em"


def case(
    shape: Shape, out_c: int, n: int = 0, share: float = 0.5, *, kernel: tuple[int, int] = (3, 3), stride: int = 1,
    dilation: int = 1, padding: tuple[int, int, int, int] = (1, 1, 1, 1), shift: int = 0, low: int = -128,
) -> Case:  # fmt: skip
    """A convolution whose weights are zero by vectors of `n` input channels (0: all), but for a `share` of them; its
    second filter is zero altogether. The sums of the first are shifted left by `shift`, the next by less."""
    generator = np.random.default_rng([*shape, out_c])
    weights = generator.integers(-128, 128, (out_c, *kernel, shape[2])).astype(np.int8)
    vectors = weights.reshape(-1, n or shape[2])
    vectors[generator.random(len(vectors)) >= share] = 0
    weights[1:2] = 0
    shifts = (shift - np.arange(out_c) % (shift + 1)).astype(np.uint8)
    multipliers = generator.integers(2**18, 2**21, out_c).astype(np.int32)
    operator = Conv2d(
        geometry=Geometry(kernel=kernel, stride=(stride, stride), dilation=(dilation, dilation), padding=padding),
        weights=weights,
        bias=generator.integers(-1000, 1000, out_c).astype(np.int32),
        x_zero_point=int(generator.integers(-128, 128)),
        requantization=Requantization(multipliers, shifts, 3, low, 127),
    )
    return Case(operator, (generator.integers(-128, 128, (1, *shape)).astype(np.int8),))


CASES = [
    case((4, 8, 8), 4),
    case((3, 5, 16), 3, 4, low=-60),  # rows that two and four rows at once take better
    case((5, 6, 32), 5, 8),
    case((2, 7, 64), 2, 16, 0.2),
    case((4, 4, 128), 3, share=0.3),  # each vector in two pieces
    case((7, 9, 12), 3, stride=2, shift=2),
    case((6, 10, 20), 3, dilation=2, padding=(2, 2, 1, 3)),
    case((5, 3, 8), 3, kernel=(5, 2), padding=(4, 1, 0, 0)),
    case((1, 1, 8), 3),  # narrower than its window, no pixel of whose input lies inside for all four
    case((6, 1, 4), 2, kernel=(3, 1), padding=(1, 0, 1, 0)),
    case((4, 7, 1), 3),  # channels that are no fours
    case((3, 6, 3), 4, stride=2),
    case((4, 8, 13), 5, shift=1),
    case((2, 5, 18), 3, dilation=2, padding=(2, 2, 2, 2)),
    case((3, 4, 8), 2, share=0.0),
]


@pytest.mark.parametrize("target", ["x86-64", "cortex-m7"])
def test_shapes(target: str) -> None:
    """Vectors of every length, four pixels of one, two and four rows, whole images and bands, strides, dilations."""
    need_target(target)
    runs = [run for run in runs_of(CASES, ("armv7em",)) if run.kernel.name == KERNEL]
    assert {id(run.case) for run in runs} == {id(case) for case in CASES[:-1]}  # none is for no weights at all
    assert {run.variant["rows"] for run in runs} == {1, 2, 4}
    assert {run.variant["n"] for run in runs} == {0, 4, 8, 16}
    assert all(stored_weights(run) == run.kernel.weight_bytes(run.parameters) for run in runs)
    check([run for run in runs if run.band < 2], target)


@pytest.mark.parametrize("target", ["x86-64", "cortex-m7"])
def test_codes_and_thresholds(target: str) -> None:
    """Weights of 1 to 4 bits, odd ones too, all of them or by vectors; outputs by thresholds."""
    need_target(target)
    cases = [
        narrow((3, 5, in_c), low, step, levels, share, shift)
        for in_c, low, step, levels, shift in [
            (8, -8, 1, 16, 0),
            (16, -15, 2, 16, 7),
            (16, -2, 1, 4, 3),
            (32, -3, 2, 4, 0),
            (32, -1, 2, 2, 2),
            (6, -8, 1, 16, 1),
            (13, -3, 2, 4, 0),
            (31, -1, 2, 2, 0),
        ]
        for share in (1.0, 0.4)
    ]
    cases += [thresholds(case) for case in cases]
    names = {KERNEL, "conv2d_quads_s8__armv7em"}
    runs = [run for run in runs_of(cases, ("armv7em",)) if run.kernel.name in names and run.band < 2]
    assert {(run.kernel.name, run.variant["stored"]) for run in runs} == {(n, b) for n in names for b in (0, 8, 16)}
    assert all(stored_weights(run) == run.kernel.weight_bytes(run.parameters) for run in runs if not run.band)
    check([run for run in runs if run.variant["rows"] < 4], target)


@pytest.mark.parametrize("removed", [0.5, 0.9])
@pytest.mark.parametrize("layer", [Layer(8, 64, 64), Layer(12, 16, 16), Layer(12, 18, 13)])
def test_the_planner_takes_what_is_measured_to_be_fewer(layer: Layer, removed: float) -> None:
    """Winograd's kernel for the larger layer with half of its stripes left, stripes for all others; where weights may
    not take as much, stripes for that one too."""
    isa, kernels = need_target("cortex-m7").isa, load_kernels()
    graph = pruned(layer, removed)
    best = fastest(graph, "cortex-m7")
    family = min(best, key=lambda each: best[each].instructions)
    assert family == ("Winograd" if (layer.in_c, removed) == (64, 0.5) else "stripes")
    assert saved(best, "direct") >= GOAL * removed
    (plan,) = make_plan(graph, kernels, "cortex-m7", isa, extra_weights=10.0).layers
    assert plan.kernel in FAMILIES[family]
    assert plan.instructions == pytest.approx(best[family].instructions, rel=0.1)
    (plan,) = make_plan(graph, kernels, "cortex-m7", isa, extra_weights=1.0).layers
    assert plan.kernel in FAMILIES["stripes"]


def test_on_helium_few_stripes_have_to_be_left() -> None:
    """There dense kernels take fewer instructions until then, which is for weights that may be as large."""
    isa, kernels = need_target("cortex-m55").isa, load_kernels()
    families = {"direct": ("conv2d_s8__mve",), "stripes": FAMILIES["stripes"]}
    for removed, faster in ((0.75, "direct"), (0.9, "stripes")):
        graph = pruned(Layer(8, 64, 64), removed)
        best = fastest(graph, "cortex-m55", families)
        assert min(best, key=lambda each: best[each].instructions) == faster
        (plan,) = make_plan(graph, kernels, "cortex-m55", isa, extra_weights=3.0).layers
        assert plan.kernel in families[faster]
        (plan,) = make_plan(graph, kernels, "cortex-m55", isa).layers
        assert plan.kernel in families["stripes"]


def test_the_portable_kernel_is_taken_where_enough_stripes_are_removed() -> None:
    isa, kernels = need_target("riscv32").isa, load_kernels()
    families = {"direct": ("conv2d_s8__rv32imc",), "stripes": ("conv2d_stripes_s8__portable",)}
    for removed, faster in ((0.3, "direct"), (0.75, "stripes")):
        graph = pruned(Layer(12, 16, 16), removed)
        best = fastest(graph, "riscv32", families)
        assert min(best, key=lambda each: best[each].instructions) == faster
        (plan,) = make_plan(graph, kernels, "riscv32", isa).layers
        assert plan.kernel in families[faster]
        assert plan.instructions == pytest.approx(best[faster].instructions, rel=0.15)


def narrow(shape: Shape, low: int, step: int, levels: int, share: float, shift: int) -> Case:
    """Weights low, low + step .. of so many levels, by stripes zero but for a share of them."""
    found = case(shape, 4, share=share, shift=shift)
    generator = np.random.default_rng(levels)
    drawn = (low + step * generator.integers(0, levels, found.operator.weights.shape)).astype(np.int8)
    weights = (
        drawn if share == 1.0 else np.where(found.operator.weights.any(3, keepdims=True), drawn, 0).astype(np.int8)
    )
    return Case(msgspec.structs.replace(found.operator, weights=weights), found.inputs)


def thresholds(found: Case) -> Case:
    """The same with four levels of output."""
    values = np.sort(np.random.default_rng(3).integers(-3000, 3000, (len(found.operator.weights), 3)), axis=1)
    rule = Thresholds(values.astype(np.int32), -2)
    return Case(msgspec.structs.replace(found.operator, requantization=rule), found.inputs)


def check(runs: list[Run], target: str) -> None:
    """Build, run and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        execute(folder, target, build(folder, target, runs, target == "x86-64"), runs)
        assert not differences(folder, runs), "\n".join(differences(folder, runs))
