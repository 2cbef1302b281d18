"""Costs as measured: their file, what they depend on, and that the planner goes by them."""

from pathlib import Path

import msgspec
import pytest

from nnrules.catalog.kernel import Kernel, load_kernels
from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.stages import TuneOptions
from nnrules.error import UserError
from nnrules.graph.ir import dump
from nnrules.plan.costs import Cost, Costs, costs_file, dump_costs, key, load_costs, template_digest
from nnrules.plan.select import Offers, layer_parameters
from nnrules.stages.runner import Request
from nnrules.stages.tune import run
from tests.needs import need_target
from tests.plan.test_select import graph, kernel

__all__ = ["kernel"]


def test_a_file_of_costs_reads_back(tmp_path: Path) -> None:
    one, two = Cost(layer="b", instructions=3, code=4), Cost(layer="a", instructions=1, code=2)
    costs = Costs(compiler="12", templates={"k": "0" * 16}, costs={"k": {"f1": one, "f2": two}})
    path = tmp_path / "here.json"
    path.write_bytes(dump_costs(costs))
    assert load_costs(path) == costs
    assert list(load_costs(path).costs["k"]) == ["f2", "f1"]  # by the layers' names
    assert load_costs(tmp_path / "missing.json") == Costs()


def test_weights_and_zero_points_do_not_count() -> None:
    parameters = {"in_c": 4, "x_zero_point": 3, "acc_bits": 20}
    assert key(parameters) == key({"acc_bits": 21, "in_c": 4, "x_zero_point": -128})
    assert key(parameters) != key(parameters | {"in_c": 8})


def test_the_planner_goes_by_what_was_measured(kernel: Kernel) -> None:
    network = graph()
    narrow = {**layer_parameters(network, network.nodes[0]), "wide": 0}
    costs = Costs(costs={kernel.name: {key(narrow): Cost(layer="", instructions=5, code=0)}})
    estimated, measured = (Offers(network, [kernel], ("portable",), known).select(1.0)[0] for known in (None, costs))
    taken = [[c.variant["wide"] for c, _ in selected if c] for selected in (estimated, measured)]
    assert taken == [[1, 1], [0, 1]]
    assert measured[0][0] is not None
    assert measured[0][0].instructions == 5


def request(folder: Path, target: str, kernels: list[Kernel]) -> Request[TuneOptions]:
    """The stage on a graph of two layers."""
    (folder / "net.graph.json").write_bytes(dump(graph()))
    inputs = {
        "graph": [str(folder / "net.graph.json")],
        "toolchain": [str(TOOLCHAINS / f"{target}.toml")],
        "kernels": [str(each.template.with_suffix("").with_suffix(".toml")) for each in kernels],
    }
    return Request("tune", "all", target, TuneOptions(), inputs, {"costs": str(folder / "costs.json")})


def test_kernels_are_measured(tmp_path: Path) -> None:
    """Every variant of every kernel that takes the layers, with its code."""
    need_target("cortex-m7")
    kernels = [each for each in load_kernels() if each.op == "fully_connected"]
    run(request(tmp_path, "cortex-m7", kernels))
    costs = load_costs(tmp_path / "costs.json")
    fast = costs.costs["fully_connected_dense_s8__armv7em"].values()
    assert sorted(cost.layer for cost in fast) == [
        "fully connected 16->24 wide=0", "fully connected 16->24 wide=1",
        "fully connected 24->32 wide=0", "fully connected 24->32 wide=1",
    ]  # fmt: skip
    slow = costs.costs["fully_connected_s8__portable"].values()
    assert max(cost.instructions for cost in fast) < min(cost.instructions for cost in slow)
    assert all(cost.code > 0 for cost in (*fast, *slow))


def test_a_target_that_does_not_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(request(tmp_path, "x86-64", []))
    assert str(caught.value) == "x86-64: its emulator does not count instructions; tune a target whose does"


@pytest.mark.parametrize("path", sorted(KERNELS.glob("costs/*.json")), ids=lambda path: path.stem)
def test_the_costs_are_those_of_the_kernels_as_they_are(path: Path) -> None:
    """Otherwise: `scons tune target=...`."""
    assert path == costs_file(path.stem)
    now = {each.name: template_digest(each) for each in load_kernels()}
    recorded = msgspec.json.decode(path.read_bytes(), type=Costs).templates
    assert {name for name, digest in recorded.items() if now.get(name) != digest} == set()
