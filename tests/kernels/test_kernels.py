"""Every kernel against its operator's exact reference: on the host under sanitizers, and under the emulators."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.paths import KERNELS
from nnrules.graph.ops import OPERATORS
from tests.kernels.programs import Run, build, differences, execute, toolchain
from tests.kernels.strategies import CASES, Case

KERNEL_LIST = load_kernels()
EVERY_ISA = tuple({kernel.isa for kernel in KERNEL_LIST})
BATCH = {"conv2d": 24}
quick = settings(
    max_examples=4, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
long = settings(quick, max_examples=40, derandomize=False, print_blob=True)


def batches(op: str) -> st.SearchStrategy[list[Case]]:
    """As many cases as make up one program."""
    size = BATCH.get(op, 8)
    return st.lists(CASES[op], min_size=size, max_size=size)


def runs_of(cases: list[Case], isa: tuple[str, ...]) -> list[Run]:
    """Every case with every kernel that takes it on a target with these features."""
    return [
        Run(kernel, case)
        for case in cases
        for kernel in KERNEL_LIST
        if kernel.op == case.operator.op
        and kernel.refusal(case.operator.parameters(*case.shapes), isa) is None
    ]


def check(cases: list[Case], target: str, sanitize: bool = False) -> None:
    """Build, run and compare one program; the host runs the kernels of every ISA through their plain-C twins."""
    runs = runs_of(cases, EVERY_ISA if sanitize else toolchain(target).isa)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        execute(folder, target, build(folder, target, runs, sanitize), runs)
        assert not differences(folder, runs), "\n".join(differences(folder, runs))


def need(target: str) -> None:
    """Skip, naming the tool, where the target cannot be built or run here."""
    chain = toolchain(target)
    assert chain.runner is not None
    for command, package in ((chain.compiler.command, chain.compiler.package), (chain.runner.command[0], chain.runner.package)):
        if command != "{elf}" and shutil.which(command) is None:
            pytest.skip(f"{command} is missing; apt-get install {package}")


@pytest.mark.parametrize("op", CASES)
def test_host_under_sanitizers(op: str) -> None:
    """Portable kernels and the twins of all others."""

    @quick
    @given(batches(op))
    def property_holds(cases: list[Case]) -> None:
        check(cases, "x86-64", sanitize=True)

    property_holds()


@pytest.mark.parametrize("target", ["cortex-m7", "riscv32"])
@pytest.mark.parametrize("ops", [["conv2d"], [op for op in CASES if op != "conv2d"]], ids=["conv2d", "others"])
def test_emulator(ops: list[str], target: str) -> None:
    """The same cases under the target's emulator, all kernels that it can run."""
    need(target)

    @quick
    @given(st.tuples(*(batches(op) for op in ops)))
    def property_holds(groups: tuple[list[Case], ...]) -> None:
        check([case for cases in groups for case in cases], target)

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", ["x86-64", "cortex-m7", "riscv32"])
@pytest.mark.parametrize("op", CASES)
def test_campaign(op: str, target: str) -> None:
    """The same with other cases each time, some thousands of them."""
    need(target)

    @long
    @given(batches(op))
    def property_holds(cases: list[Case]) -> None:
        check(cases, target, sanitize=target == "x86-64")

    property_holds()


def test_every_operator_has_a_portable_kernel_without_conditions() -> None:
    """Whatever a graph holds can be built for any target."""
    universal = {kernel.op for kernel in KERNEL_LIST if kernel.isa == "portable" and not kernel.when}
    assert universal == set(CASES) == set(OPERATORS) - {"reshape"}


def test_every_template_has_its_description() -> None:
    """A template without a TOML file would never run."""
    described = {kernel.template for kernel in KERNEL_LIST}
    assert {path for path in KERNELS.rglob("*__*.c.j2")} == described
