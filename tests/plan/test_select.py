"""Which variants the planner takes when the weights of some are larger than those of others."""

from pathlib import Path

import pytest

from nnrules.catalog.kernel import Kernel, load_kernel
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.plan.select import select_kernels
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
    taken = [candidate for candidate, _ in select_kernels(graph(), [kernel], ("portable",), extra)[0]]
    assert [candidate.variant["wide"] for candidate in taken if candidate] == wide


def test_the_other_variants_say_what_they_cost(kernel: Kernel) -> None:
    ((_, refused), _), _ = select_kernels(graph(), [kernel], ("portable",), 0.0)
    assert [(r.kernel, r.reason) for r in refused] == [
        ("fc__portable (wide=1)", "costs 768 instructions and 768 bytes of weights")
    ]
