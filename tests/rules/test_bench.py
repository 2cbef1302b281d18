"""`scons bench`, models whose weights are drawn by lot, and models that are only built when they are named."""

import json
from pathlib import Path

import pytest

from tests.needs import need_target
from tests.rules.project import Project

PEERS = """
source = "somebody"
targets = ["cortex-m7", "x86-64"]

[[models]]
name = "tiny"
title = "A tiny one"
macs = 1
hold = { cortex-m7 = 9 }
peers = [
    { name = "slow", target = "cortex-m7", instructions = 2_000_000, ram = 4_000 },
    { name = "fast", target = "cortex-m7", instructions = 1_000_000 },
]

[[layers]]
layer = "conv 3x3/2"
per_mac = { cortex-m7 = 10.0 }
"""
SEEDED = """Import("env")

tiny = env.Model("tiny", network="network.py:Tiny", dataset="dataset.py:Bars", by_default=False)
tiny.Seed(seed=3).Quantize().Firmware(verify={"host_samples": 4, "target_samples": 1})
"""


@pytest.fixture
def seeded(tmp_path: Path) -> Project:
    """The project with a network that says its input's shape; not built."""
    project = Project.create(tmp_path / "project")
    project.edit("models/tiny/network.py", "    def __init__", "    input_shape = (1, 8, 8)\n\n    def __init__")
    (project.top / "benchmarks").mkdir()
    (project.top / "benchmarks/peers.toml").write_text(PEERS)
    return project


def test_bench_compares_seeded_models(seeded: Project) -> None:
    need_target("cortex-m7")
    done = seeded.build("bench")
    assert done.status == 0, done.stdout + done.stderr
    rows = json.loads((seeded.top / "benchmarks/results.json").read_text())["rows"]
    assert [(row["model"], row["target"], row["note"]) for row in rows] == [
        ("tiny", "cortex-m7", "seeded weights"),
        ("tiny", "x86-64", "seeded weights"),
    ]
    count = rows[0]["instructions"]
    tables = (seeded.top / "benchmarks/results.md").read_text()
    assert tables.strip() in done.stdout
    line = next(line for line in tables.splitlines() if line.startswith("| A tiny one (seeded weights) | cortex-m7"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:] == [
        f"{count:,}!",
        f"{count / rows[0]['macs']:.2f}",
        "9",
        "fast",
        "1,000,000",
        f"{count / 1e6:.2f}",
    ]
    layer = rows[0]["layers"][0]
    assert layer["layer"].startswith("conv 3x3/2 1->4, 8x8")
    assert f"|    10.00 |  {layer['instructions'] / layer['macs'] / 10:.2f} |" in tables
    assert "<svg" in (seeded.top / "benchmarks/results.svg").read_text()
    assert [bool(row["unstreamed"]) for row in rows] == [True, False]  # a peer's RAM is known on the first alone
    ours, other = rows[0]["ram"], rows[0]["unstreamed"]["ram"]
    assert ours["arena"] == rows[0]["peak"]["arena"]
    assert f"| tiny  | cortex-m7 | {ours['arena']:>5,} |" in tables
    assert (seeded.top / "build/bench/tiny/cortex-m7/unstreamed/tiny.elf").is_file()
    assert ours["total"] <= other["total"]
    assert "unstreamed" not in done.stdout.partition("model  target")[2].partition("Peers:")[0]
    stages = json.loads((seeded.top / "build/bench/last_build.json").read_text())["stages"]
    assert {"seed", "bench"} <= {row["stage"] for row in stages}
    assert "train" not in {row["stage"] for row in stages}
    again = seeded.build("bench")
    assert "[tiny" not in again.stdout
    assert tables.strip() in again.stdout


def test_a_bench_that_leaves_something_out_does_not_overwrite_the_record(seeded: Project) -> None:
    done = seeded.build("bench", "target=x86-64")
    assert done.status == 0, done.stdout + done.stderr
    assert (seeded.top / "build/bench/results.json").is_file()
    assert [path.name for path in (seeded.top / "benchmarks").iterdir()] == ["peers.toml"]


def test_a_seeded_model_is_labelled_and_built_when_it_is_named(seeded: Project) -> None:
    (seeded.top / "models/tiny/SConscript").write_text(SEEDED)
    (seeded.top / "models/dense/SConscript").unlink()
    done = seeded.build()
    assert (done.status, seeded.top.joinpath("build/tiny").exists()) == (0, False), done.stdout + done.stderr
    done = seeded.build("model=tiny")
    assert done.status == 0, done.stdout + done.stderr
    assert "seeded weights" in done.stdout
    folder = seeded.top / "build/tiny/x86-64"
    measured = json.loads((folder / "tiny.measured.json").read_text())
    assert (measured["metric"], measured["note"], measured["verify"]["differing"]) == (None, "seeded weights", 0)
    assert ", seeded weights, made by nnrules" in (folder / "tiny.h").read_text().splitlines()[0]
    assert ", seeded weights, made by nnrules" in (folder / "tiny.c").read_text().splitlines()[0]
    assert ", seeded weights</p>" in (folder / "tiny.report.html").read_text()


def test_a_network_without_a_shape_cannot_be_seeded(seeded: Project) -> None:
    seeded.edit("models/tiny/network.py", "    input_shape.*\n", "")
    (seeded.top / "models/tiny/SConscript").write_text(SEEDED)
    done = seeded.build("model=tiny")
    cure = "write input_shape = (channels, height, width) into the class"
    assert done.status == 2
    assert f"Tiny: has no input_shape; {cure}" in done.stderr.splitlines()


def test_seeded_weights_are_not_pruned(seeded: Project) -> None:
    text = SEEDED.replace(".Quantize()", '.Prune("channel").Quantize()')
    (seeded.top / "models/tiny/SConscript").write_text(text)
    done = seeded.build("model=tiny")
    assert done.stderr == "models/tiny/SConscript:4: weights has no step 'Prune'; choose from Quantize, Variant\n"


def test_a_mistake_in_the_peers_is_named(seeded: Project) -> None:
    file = seeded.top / "benchmarks/peers.toml"
    file.write_text(PEERS.replace("source =", "sauce ="))
    done = seeded.build("bench")
    assert done.stderr == "benchmarks/peers.toml: there is no key 'sauce'; did you mean 'source'?\n"


def test_tune_keeps_the_models_of_the_benchmark(seeded: Project) -> None:
    """The record is written anew; and it is not that of a project without kernels of its own."""
    need_target("cortex-m7")
    done = seeded.build("-n", "tune", "target=cortex-m7", "model=dense")
    assert "[tiny] seed: run" in done.stdout
    seeded.edit("SConstruct", r"benchmark=[^,)]*, ", "")
    alone = seeded.build("-n", "tune", "target=cortex-m7")
    assert (alone.status, alone.stderr.strip().splitlines()[-1]) == (
        2,
        "tune: what kernels cost is recorded beside the kernels, which are not this project's; "
        "run it in a checkout of nnrules",
    )
