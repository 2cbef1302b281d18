"""Every kernel against its operator's exact reference: on the host under sanitizers, and under the emulators."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from benchmarks.kernels import operator as layer
from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS
from nnrules.codegen.packing import pack
from nnrules.graph.operator import Geometry
from nnrules.graph.ops import OPERATORS
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.requant import Requantization
from tests.cases import WITH_KERNELS as CASES
from tests.cases import Case
from tests.kernels.programs import Run, build, check_runs, differences, execute, toolchain
from tests.needs import need_target

KERNEL_LIST = load_kernels()
EVERY_ISA = tuple({kernel.isa for kernel in KERNEL_LIST})
EMULATED = ["cortex-m7", "riscv32", "cortex-m55", "cortex-m0plus"]  # a core of each set of kernels
BATCH = {"conv2d": 20, "fully_connected": 10}
TILES = {
    "dsp_depthwise_rows": 1,
    "dsp_dense": 2,
    "dsp_dense_1x4": 4,
    "dsp_winograd": 2,
    "dsp_winograd_row": 2,
    "mve_tiles": 4,
}  # channels side by side in a stream; Armv7E-M's end with zero points
SMALL = Case(
    FullyConnected(
        weights=np.arange(-20, 20, dtype=np.int8).reshape(5, 8), bias=np.zeros(5, np.int32), x_zero_point=3,
        requantization=Requantization(np.full(5, 2**26, np.int32), np.zeros(5, np.uint8), 0, -128, 127),
    ),
    (np.arange(8, dtype=np.int8).reshape(1, 1, 8),),
)  # fmt: skip
quick = settings(  # the first example is always the simplest one, the second is random
    max_examples=2, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
long = settings(quick, max_examples=40, derandomize=False, print_blob=True)


def batches(op: str) -> st.SearchStrategy[list[Case]]:
    """As many cases as make up one program."""
    size = BATCH.get(op, 10)
    return st.lists(CASES[op], min_size=size, max_size=size)


def runs_of(cases: list[Case], isa: tuple[str, ...]) -> list[Run]:
    """Every case with every variant of each kernel that takes it on a target with these features, also by rows."""
    runs = [
        Run(kernel, case, variant, band)
        for case in cases
        for kernel in KERNEL_LIST
        if kernel.op == case.operator.op and kernel.isa in (*isa, "portable")
        for variant in kernel.variants()
        for band in (0, *(bands(case) if kernel.rows else ()))
    ]
    return [run for run in runs if run.kernel.refusal(run.parameters, isa) is None]


def bands(case: Case) -> list[int]:
    """Of one row of outputs, and of two or three where they divide the image."""
    height = case.operator.infer(*case.shapes)[0]
    return [1, *(band for band in (2, 3) if height % band == 0)] if case.operator.row_window(*case.shapes) else []


def check(cases: list[Case], target: str, sanitize: bool = False) -> None:
    """Build, run and compare one program; the host runs the kernels of every ISA through their plain-C twins."""
    check_runs(runs_of(cases, EVERY_ISA if sanitize else toolchain(target).isa), target, sanitize)


@pytest.mark.parametrize("op", CASES)
def test_host_under_sanitizers(op: str) -> None:
    """Portable kernels and the twins of all others."""

    @quick
    @given(batches(op))
    def property_holds(cases: list[Case]) -> None:
        check(cases, "x86-64", sanitize=True)

    property_holds()


@pytest.mark.parametrize("target", EMULATED)
@pytest.mark.parametrize("ops", [["conv2d"], [op for op in CASES if op != "conv2d"]], ids=["conv2d", "others"])
def test_emulator(ops: list[str], target: str) -> None:
    """The same cases under the target's emulator, all kernels that it can run."""
    need_target(target)

    @quick
    @given(st.tuples(*(batches(op) for op in ops)))
    def property_holds(groups: tuple[list[Case], ...]) -> None:
        check([case for cases in groups for case in cases], target)

    property_holds()


@pytest.mark.parametrize("target", ["x86-64", "cortex-m7"])
def test_many_channels(target: str) -> None:
    """Pixels further apart than one LDRD reaches, and than any kernel for the core takes."""
    need_target(target)
    check([wide(in_c, kernel) for in_c in (508, 510, 2044, 2045) for kernel in (1, 2)], target, target == "x86-64")


def wide(in_c: int, kernel: int) -> Case:
    """A convolution of two rows and three columns, two output channels."""
    generator = np.random.default_rng(in_c)
    operator = Conv2d(
        geometry=Geometry(kernel=(kernel, kernel)),
        weights=generator.integers(-128, 128, (2, kernel, kernel, in_c)).astype(np.int8),
        bias=np.array([-5, 7], np.int32),
        x_zero_point=-3,
        requantization=Requantization(np.full(2, 2**19, np.int32), np.zeros(2, np.uint8), 1, -128, 127),
    )
    return Case(operator, (generator.integers(-128, 128, (1, 2, 3, in_c)).astype(np.int8),))


@pytest.mark.parametrize(
    ("kind", "in_c", "out_c"),
    [*(("conv", 4, out_c) for out_c in (1364, 1366)), *(("depthwise", c, c) for c in (2040, 2340, 2344, 3000))],
)
def test_the_most_channels(kind: str, in_c: int, out_c: int) -> None:
    """As many as kernels take whose code holds distances as immediate operands, and more."""
    need_target("cortex-m7")
    x = np.random.default_rng(0).integers(-128, 128, (1, 1, 4 if kind == "conv" else 1, in_c)).astype(np.int8)
    check([Case(layer(kind, 3, 1, out_c, in_c), (x,))], "cortex-m7")


@pytest.mark.soak
@pytest.mark.parametrize("target", ["x86-64", *EMULATED])
@pytest.mark.parametrize("op", CASES)
def test_campaign(op: str, target: str) -> None:
    """The same with other cases each time, some thousands of them."""
    need_target(target)

    @long
    @given(batches(op))
    def property_holds(cases: list[Case]) -> None:
        check(cases, target, sanitize=target == "x86-64")

    property_holds()


def test_a_wrong_value_is_found(tmp_path: Path) -> None:
    """One expected integer off by one."""
    (run,) = runs_of([SMALL], ("portable",))

    class Wrong(Run):
        @property
        def expected(self) -> np.ndarray:
            return run.expected + (np.arange(run.expected.size) == 3).astype(np.int8)

    wrong = [Wrong(run.kernel, run.case)]
    execute(tmp_path, "x86-64", build(tmp_path, "x86-64", wrong, sanitize=True), wrong)
    assert [line.split(":")[0] for line in differences(tmp_path, wrong)] == [
        "0 fully_connected_s8__portable, memory 0xa5, at 3",
        "0 fully_connected_s8__portable, memory 0x5a, at 3",
    ]


def test_a_scratch_that_is_too_small_is_found(tmp_path: Path) -> None:
    """Two bytes less than the kernel uses."""
    run = next(run for run in runs_of([SMALL], EVERY_ISA) if run.kernel.isa == "armv7em")
    tight = [Run(msgspec.structs.replace(run.kernel, scratch=f"{run.kernel.scratch} - 2"), run.case, run.variant)]
    elf = build(tmp_path, "x86-64", tight, sanitize=True)
    with pytest.raises(AssertionError, match="heap-buffer-overflow"):
        execute(tmp_path, "x86-64", elf, tight)


@pytest.mark.parametrize("size", [1, 8])
@pytest.mark.parametrize("behind", range(8))
def test_a_byte_behind_a_buffer_is_found(behind: int, size: int, tmp_path: Path) -> None:
    """Also in the gap between a buffer of odd size and the next word, where there are no sanitizers."""
    case = Case(
        FullyConnected(
            weights=np.tile(np.int8([-90, -33, 7, 12, 55, 101, -128, 3]), (size, 1)),
            bias=np.zeros(size, np.int32), x_zero_point=0,
            requantization=Requantization(np.full(size, 2**26, np.int32), np.zeros(size, np.uint8), 0, -128, 127),
        ),
        SMALL.inputs,
    )  # fmt: skip
    (run,) = runs_of([case], ("portable",))

    class Overrun(Run):
        def source(self, index: int) -> str:
            return super().source(index).replace("{ (void)scratch;", f"{{ (void)scratch; y[{size + behind}] = -61;")

    wrong = [Overrun(run.kernel, run.case)]
    elf = build(tmp_path, "x86-64", wrong)
    with pytest.raises(AssertionError, match="a kernel wrote behind a buffer"):
        execute(tmp_path, "x86-64", elf, wrong)


def test_every_operator_has_a_portable_kernel_without_conditions() -> None:
    """Whatever a graph holds can be built for any target."""
    universal = {kernel.op for kernel in KERNEL_LIST if kernel.isa == "portable" and not kernel.when}
    assert universal - {"average_rows"} == set(CASES) == set(OPERATORS) - {"reshape"}


@pytest.mark.parametrize("op", CASES)
def test_the_weights_are_as_large_as_described(op: str) -> None:
    """The planner counts on it."""

    @quick
    @given(batches(op))
    def property_holds(cases: list[Case]) -> None:
        for run in runs_of(cases, EVERY_ISA):
            assert stored_weights(run) == run.kernel.weight_bytes(run.parameters), (run.kernel.name, run.parameters)

    property_holds()


def stored_weights(run: Run) -> int:
    """Bytes of the packed weights with where they are; of a stream, less biases, multipliers, zero points, sizes."""
    packed = pack(run.kernel.packing, run.case.operator, run.parameters)
    if run.kernel.packing == "dsp_stripes":  # three words at the beginning, some for each filter
        levels = int(run.parameters.get("levels", 0))  # type: ignore[call-overload]
        others = 4 * ("n" in run.variant) + 16 + 4 * (levels - 1 if levels else 1)
        return packed["stream"].nbytes - 12 - others * len(run.case.operator.weights)
    if "stream" in packed:
        for_helium = run.kernel.isa == "mve"
        zero_points = 8 if run.kernel.packing in TILES and not for_helium else 0
        sizes = 4 if run.kernel.packing == "dsp_depthwise_rows" else 0
        shift = 4 * int(for_helium and run.case.operator.requantization.has_shift)
        return packed["stream"].nbytes - (8 + shift) * channels_in_stream(run) - zero_points - sizes
    return sum(packed[name].nbytes for name in ("weights", "kept", "starts") if name in packed)


def channels_in_stream(run: Run) -> int:
    """Output channels, rounded up to whole tiles."""
    channels, tile = len(run.case.operator.weights), TILES.get(str(run.kernel.packing), 1)
    tile *= 1 + int(run.kernel.packing == "mve_tiles" and bool(run.variant.get("pair")))
    return -(-channels // tile) * tile


def test_every_template_has_its_description() -> None:
    """A template without a TOML file would never run."""
    described = {kernel.template for kernel in KERNEL_LIST}
    assert set(KERNELS.rglob("*__*.c.j2")) == described
