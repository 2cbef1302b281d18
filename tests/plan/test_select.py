"""Which variants the planner takes when the weights of some are larger than those of others."""

import itertools
import math
from pathlib import Path

import pytest

from nnrules.catalog.kernel import Kernel, load_kernel, load_kernels
from nnrules.graph.ir import Graph, Node
from nnrules.graph.lowering import lower
from nnrules.graph.operator import Operator
from nnrules.plan.costs import UNMEASURED_CODE, Cost, Costs, key
from nnrules.plan.record import Room
from nnrules.plan.select import CALL_BYTES, Candidate, Flash, Offers, candidates
from tests.graph.floats import FloatModel
from tests.graph.test_lowering import quantized

DESCRIPTION = """
op = "fully_connected"
isa = "portable"
params = { wide = [0, 1] }
weights = "in_c * out_c * (1 + wide)"
cost = "in_c * out_c * (3 - wide) if in_c < 20 else in_c * out_c * (2 - wide)"
"""


def graph() -> Graph:
    """Two fully connected layers."""
    m = FloatModel((16,))
    return lower(quantized(m.build(m.gemm(m.gemm("x", "a", 24, 16), "b", 32, 24)), (16,)), "net")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    (tmp_path / "fc__portable.c.j2").touch()
    path = tmp_path / "fc__portable.toml"
    path.write_text(DESCRIPTION)
    return load_kernel(path)


@pytest.mark.parametrize(
    ("extra", "wide"),
    [
        (0.0, [0, 0]),
        (0.34, [1, 0]),  # the first layer has a third of the weights, each as good as one of the second's
        (0.67, [0, 1]),
        (1.0, [1, 1]),
    ],
)
def test_the_fewest_instructions_whose_weights_fit(kernel: Kernel, extra: float, wide: list[int]) -> None:
    taken = [candidate for candidate, _ in Offers(graph(), [kernel], ("portable",)).select(extra)[0]]
    assert [candidate.variant["wide"] for candidate in taken if candidate] == wide


def constants(operator: Operator, candidate: Candidate) -> int:
    """What the kernel says of its weights."""
    return candidate.weight_bytes


@pytest.mark.parametrize("extra", [0.0, 0.5, 2.0])
def test_the_flash_is_kept_where_any_selection_keeps_it_and_more_of_it_costs_nothing(
    kernel: Kernel, extra: float
) -> None:
    """Against all four selections; each layer has two functions of 1,024 bytes to choose from."""
    network, fixed = graph(), 2 * (UNMEASURED_CODE + CALL_BYTES)
    every = [
        (sum(c.weight_bytes for c in taken), sum(c.instructions for c in taken))
        for taken in itertools.product(*(both(network, node, kernel) for node in network.nodes))
    ]
    least, before = min(every)[0], math.inf
    for flash in range(fixed, fixed + 2 * least + 64, 32):
        selected, room = Offers(network, [kernel], ("portable",)).select(extra, Flash(flash, "budget", constants))
        size = sum(candidate.weight_bytes for candidate, _ in selected if candidate)
        now = sum(candidate.instructions for candidate, _ in selected if candidate)
        most = max(least, min(flash - fixed, int(least * (1 + extra))))
        assert size <= most
        assert now == min(instructions for weights, instructions in every if weights <= most)
        assert (room.flash, room.least) == (fixed + size, fixed + least)
        assert now <= before
        before = now


def both(network: Graph, node: Node, kernel: Kernel) -> list[Candidate]:
    """The two candidates of a layer."""
    return candidates(network, node, [kernel], ("portable",), Costs())[0]


def test_what_bounds_the_choice_and_what_more_would_buy(kernel: Kernel) -> None:
    """As int8 the layers take 384 and 768 bytes; each byte more saves an instruction."""
    fixed = 2 * (UNMEASURED_CODE + CALL_BYTES)

    def room(extra: float, flash: int, by: str = "budget") -> Room:
        return Offers(graph(), [kernel], ("portable",)).select(extra, Flash(flash, by, constants))[1]

    assert room(1.0, 9999) == Room(flash=fixed + 2304, least=fixed + 1152)
    assert room(0.0, 9999) == Room(
        by="extra_weights", room=1152, used=1152, more=1024, saved=768.0, flash=fixed + 1152, least=fixed + 1152
    )
    tight = fixed + 1600
    assert room(1.0, tight) == Room(
        by="budget", room=tight, used=fixed + 1536, more=1024, saved=768.0, flash=fixed + 1536, least=fixed + 1152
    )
    assert room(1.0, 0, "target") == Room(
        by="target", room=0, used=fixed + 1152, more=4096, saved=768.0, flash=fixed + 1152
    )


def test_weights_yield_where_only_larger_ones_keep_the_flash(kernel: Kernel, tmp_path: Path) -> None:
    """A function that is 3,900 bytes smaller is worth 768 bytes of weights that extra_weights does not allow."""
    network = graph()
    every = [candidate for node in network.nodes for candidate in both(network, node, kernel)]
    known = {key(c.parameters): Cost(layer="", instructions=1, code=4000 if c is every[2] else 100) for c in every}
    costs = Costs(costs={kernel.name: known})
    for flash, wide in ((9999, 0), (5 * 1024, 1)):
        within = Flash(flash, "budget", constants)
        (_, (taken, _)), _ = Offers(network, [kernel], ("portable",), costs).select(0.0, within)
        assert taken is not None
        assert taken.variant["wide"] == wide


def test_weights_and_flash_bind_together(kernel: Kernel) -> None:
    """With a third more weights the first layer would be wide, whose function is too large; the second must not."""
    network = graph()
    every = [candidate for node in network.nodes for candidate in both(network, node, kernel)]
    known = {
        key(c.parameters): Cost(layer="", instructions=int(c.instructions), code=3000 if c is every[1] else 100)
        for c in every
    }
    costs = Costs(costs={kernel.name: known})
    for extra, flash, wide in ((0.34, 9999, [1, 0]), (0.34, 2200, [0, 0]), (0.67, 2200, [0, 1])):
        within = Flash(flash, "budget", constants)
        selected, _ = Offers(network, [kernel], ("portable",), costs).select(extra, within)
        assert [candidate.variant["wide"] for candidate, _ in selected if candidate] == wide


def test_the_other_variants_say_what_they_cost(kernel: Kernel) -> None:
    ((_, refused), _), _ = Offers(graph(), [kernel], ("portable",)).select(0.0)
    assert [(r.kernel, r.reason) for r in refused] == [
        ("fc__portable (wide=1)", "costs 768 instructions and 768 bytes of weights")
    ]


def test_a_kernel_takes_the_rows_that_are_left_too() -> None:
    """Four rows at a time of 14 by one column: two are left, which are not the four pixels that RISC-V's tile needs."""
    m = FloatModel((1, 14, 1))
    net = lower(quantized(m.build(m.conv("x", "y", (4, 1, 3, 3), pads=[1, 1, 1, 1])), (1, 14, 1)), "net")
    given = [kernel for kernel in load_kernels() if kernel.op == "conv2d"]
    found = {band: candidates(net, net.nodes[0], given, ("rv32imc",), Costs(), band) for band in (2, 4, 7)}
    name = "conv2d_s8__rv32imc"
    assert {band: name in [each.kernel.name for each in fitting] for band, (fitting, _) in found.items()} == {
        2: False,
        4: False,
        7: True,
    }
    fault = "needs out_w >= 4 or k_w * in_c < 32 and out_h * out_w >= 4"
    assert found[2][1][f"{name} (raw=1)"] == fault
    assert found[4][1][f"{name} (raw=1)"] == f"{fault}, also at the image's end, where rows are left: 2"
