"""MLPerf Tiny's models with seeded weights: their size, and what an inference takes, held to benchmarks/results.json.

A change that is meant is recorded by `scons bench`; another compiler makes other code and is not compared.
"""

import json
import subprocess
from typing import Any

import numpy as np
import pytest

from benchmarks.whole import MODELS, NETWORKS, instructions, planned, seeded
from nnrules.catalog.peers import load_peers
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.plan.planner import MORE_INSTRUCTIONS
from tests.needs import need_target

BENCHMARKS = MODELS.parent / "benchmarks"
PEERS = load_peers(BENCHMARKS / "peers.toml")
MOST_ZEROS = 0.02
LARGEST_CODE = 14 * 1024  # bytes of flash on a Cortex-M7


def recorded() -> dict[tuple[str, str], dict[str, Any]]:
    """The rows of the last `scons bench` that left nothing out."""
    rows = json.loads((BENCHMARKS / "results.json").read_text())["rows"]
    return {(row["model"], row["target"]): row for row in rows}


def version(command: str) -> str:
    """Of a compiler, as it says it."""
    return subprocess.run([command, "-dumpfullversion"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize("model", NETWORKS)
def test_a_model_is_the_reference_models_size_and_takes_what_is_recorded(model: str) -> None:
    targets = {target: need_target(target) for target in PEERS.targets}
    graph, sample = seeded(model)
    peer = PEERS.model(model)
    assert peer is not None
    assert sum(graph.macs(node) for node in graph.nodes) == peer.macs
    operators = [node.operator for node in graph.nodes if isinstance(node.operator, Conv2d | FullyConnected)]
    weights = np.concatenate([operator.weights.reshape(-1) for operator in operators])
    assert np.count_nonzero(weights == 0) <= MOST_ZEROS * weights.size
    rows = recorded()
    same = {t: c for t, c in targets.items() if version(c.compiler.command) in rows[model, t]["compiler"].split()}
    found = {target: instructions(graph, sample, target, planned(graph, target)) for target in same}
    assert found == {target: rows[model, target]["instructions"] for target in same}, "run `scons bench` and commit"


def test_what_is_recorded_is_exact_and_within_the_goals() -> None:
    rows = recorded()
    assert set(rows) >= {(model.name, target) for model in PEERS.models for target in PEERS.targets}
    assert [name for name, row in rows.items() if row["differing"]] == []
    assert [name for name, row in rows.items() if row["hold"] and row["instructions"] > row["hold"]] == []
    assert [name for name, row in rows.items() if row["hold_ram"] and row["ram"]["total"] > row["hold_ram"]] == []
    code = {model: row["flash"]["code"] for (model, target), row in rows.items() if target == "cortex-m7"}
    assert [model for model, size in code.items() if size > LARGEST_CODE] == []


def test_the_arena_is_as_planned_and_rows_that_stream_cost_little() -> None:
    rows = recorded()
    assert {name: row["ram"]["arena"] for name, row in rows.items()} == {
        name: row["peak"]["arena"] for name, row in rows.items()
    }
    both = {name: row for name, row in rows.items() if row["unstreamed"]}
    assert set(both) >= {(model.name, target) for model in PEERS.models for target in PEERS.ram_targets}
    more = {name: row["instructions"] / row["unstreamed"]["instructions"] for name, row in both.items()}
    assert {name: share for name, share in more.items() if share > MORE_INSTRUCTIONS} == {}


def test_seeded_models_say_so() -> None:
    assert {row["note"] for (model, _), row in recorded().items() if model in NETWORKS} == {"seeded weights"}
