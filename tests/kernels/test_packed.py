"""Kernels on tensors of several values a byte: every width of inputs and output, on the host under sanitizers and under
the emulators.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnrules.graph.ir import Packing
from tests.cases import WITH_KERNELS as CASES
from tests.cases import Case
from tests.cases.case import CHANNELS, Draw, int8_arrays
from tests.kernels.programs import Run, check_runs
from tests.kernels.test_kernels import EVERY_ISA, KERNEL_LIST, bands, long, quick
from tests.narrow import folded, narrowed
from tests.needs import need_target

OPS = tuple(dict.fromkeys(kernel.op for kernel in KERNEL_LIST if kernel.packed))
TARGETS = ["x86-64", "cortex-m7", "riscv32"]
LOWEST = {2: (-128, -8, 0, 124), 4: (-128, -8, 0, 112), 8: (-128,)}
WIDTHS = tuple(LOWEST)
COUNTS = {op: 16 if op == "conv2d" else 6 for op in OPS}
Narrow = tuple[Case, tuple[Packing | None, ...]]


@st.composite
def images(draw: Draw, op: str) -> Case:
    """Of an operator that sees one value at a time."""
    shape = (1, draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(CHANNELS))
    operator = draw(CASES[op]).operator
    return Case(operator, tuple(draw(int8_arrays(shape)) for _ in range(1 + (op == "add"))))


SHAPES = {op: images(op) for op in ("add", "lookup")}


@st.composite
def narrow_cases(draw: Draw, op: str) -> Narrow:
    """A case of the operator, its inputs and its output in any of the widths; not all of them bytes."""
    case, chance = draw(SHAPES.get(op, CASES[op])), draw(st.randoms(use_true_random=False))
    inputs, packings = [], []
    for x in case.inputs:
        bits = chance.choice(WIDTHS)
        low = chance.choice(LOWEST[bits])
        inputs.append(folded(x, bits, low))
        packings.append(None if bits == 8 else Packing(bits, low))
    bits = chance.choice(WIDTHS)
    operator = narrowed(case.operator, bits, chance.choice(LOWEST[bits]))
    spans = [(each.low, each.low + (1 << each.bits) - 1) if each else (-128, 127) for each in packings]
    low, high = operator.span(case.shapes, spans)
    fitting = [bits for bits in WIDTHS if high - low < 1 << bits and (bits < 8 or any(packings))]
    bits = chance.choice(fitting or [8])
    return Case(operator, tuple(inputs)), (*packings, None if bits == 8 else Packing(bits, low))


def runs_of(cases: list[Narrow]) -> list[Run]:
    """Every case with every variant of each portable kernel that takes it, also by rows; the simplest cases, of which
    there are many alike, once."""
    runs = [
        Run(kernel, case, variant, band, packings)
        for case, packings in cases
        for kernel in KERNEL_LIST
        if kernel.op == case.operator.op and kernel.packed and any(packings)
        for variant in kernel.variants()
        for band in (0, *(bands(case) if kernel.rows else ()))
    ]
    fitting = [run for run in runs if run.kernel.refusal(run.parameters, ("portable",)) is None]
    return list({(run.kernel.name, repr(run), run.expected.tobytes()): run for run in fitting}.values())


GROUPS = st.tuples(*(st.lists(narrow_cases(op), min_size=n, max_size=n) for op, n in COUNTS.items()))


@pytest.mark.parametrize("target", TARGETS)
def test_packed_tensors(target: str) -> None:
    """Zero differing bytes, those bits included that no value has."""
    need_target(target)

    @quick
    @given(GROUPS)
    def property_holds(groups: tuple[list[Narrow], ...]) -> None:
        runs = runs_of([case for cases in groups for case in cases])
        assert {run.case.operator.op for run in runs} == set(OPS)
        check_runs(runs, target, target == "x86-64")

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", TARGETS)
def test_campaign(target: str) -> None:
    """The same with other cases each time."""
    need_target(target)

    @long
    @given(GROUPS)
    def property_holds(groups: tuple[list[Narrow], ...]) -> None:
        check_runs(runs_of([case for cases in groups for case in cases]), target, target == "x86-64")

    property_holds()


def test_all_other_kernels_are_for_bytes() -> None:
    """Whatever their description says."""
    parameters = {"packed": 1, "x_bits": 4, "x_low": 0, "y_bits": 8, "y_low": 0}
    refusals = {kernel.refusal(parameters, EVERY_ISA) for kernel in KERNEL_LIST if not kernel.packed}
    assert refusals == {"needs tensors of bytes"}
