"""The measuring stage on the small graph's firmware: figures add up, and unverified objects are refused."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnrules.catalog.paths import KERNELS, TOOLCHAINS
from nnrules.catalog.stages import MeasureOptions
from nnrules.error import UserError
from nnrules.graph.ir import Graph, dump
from nnrules.plan.record import dump_plan
from nnrules.stages import measure
from nnrules.stages.runner import Request
from nnrules.verify import console
from tests.verify.graphs import small_graph
from tests.verify.programs import PROFILE, checker, compile_object, generate, link, plan

Inputs = dict[str, list[str]]


def build(target: str, folder: Path, sample: np.ndarray, streamed: bool = False) -> Inputs:
    """The stage's input files on a target, by input name."""
    graph = small_graph()
    generate(graph, target, sample, folder, streamed)
    model = compile_object(target, folder, "small.c")
    names = ("-DNN_MODEL=small", "-DNN_MODEL_MACRO=SMALL", '-DNN_MODEL_HEADER="small.h"')
    objects = [model, *(compile_object(target, folder, s, *names) for s in ("small_selftest.c", MAIN))]
    files = {
        "elf": link(target, folder, "small.elf", objects),
        "profile": checker(target, folder, "small.profile.elf", PROFILE),
        "plan": folder / "small.plan.json",
        "graph": folder / "small.graph.json",
        "verify": folder / "small.verify.json",
        "metric": folder / "small.metric.json",
        "samples": folder / "small.samples.npz",
        "toolchain": TOOLCHAINS / f"{target}.toml",
        "objects": model,
    }
    np.savez(files["samples"], x=sample[np.newaxis])
    files["plan"].write_bytes(dump_plan(plan(graph, target, streamed)))
    files["graph"].write_bytes(dump(graph))
    files["metric"].write_text('{"name": null, "float": null, "integer": null, "samples": 0}')
    verified: dict[str, Any] = {"samples": 5, "target_samples": 2, "values": 9, "differing": 0, "engines": ["torch"]}
    verified["objects"] = {model.name: hashlib.sha256(model.read_bytes()).hexdigest()}
    files["verify"].write_text(json.dumps(verified))
    return {name: [str(path)] for name, path in files.items()}


MAIN = KERNELS / "program/main.c"


def run(target: str, inputs: Inputs, folder: Path) -> tuple[dict[str, Any], str]:
    """Run the stage; gives the figures and the console."""
    outputs = {"measured": str(folder / "small.measured.json"), "console": str(folder / "small.console.txt")}
    measure.run(Request("measure", "small", target, MeasureOptions(), inputs, outputs))
    return json.loads(Path(outputs["measured"]).read_text()), Path(outputs["console"]).read_text()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("target", ["cortex-m7", "riscv32"])
def test_firmware(target: str, streamed: bool, graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    inputs = build(target, tmp_path, samples["image"][0], streamed)
    measured, text = run(target, inputs, tmp_path)
    assert "self test passed\n" in text
    assert measured["macs"] == sum(graph.macs(node) for node in graph.nodes)
    assert [layer["name"] for layer in measured["layers"]] == [node.name for node in graph.nodes]
    assert [layer["kernel"] == "" for layer in measured["layers"]] == [n.operator.is_alias for n in graph.nodes]
    by_layer = sum(layer["instructions"] for layer in measured["layers"])
    assert 0.9 * measured["instructions"] < by_layer < 1.2 * measured["instructions"]
    ram, flash = measured["ram"], measured["flash"]
    assert ram["arena"] == plan(graph, target, streamed).arena_bytes
    assert 0 < ram["stack"] == console.number(text, "stack")
    assert ram["total"] == ram["arena"] + ram["stack"] + ram["data"] + ram["bss"]
    assert flash["total"] == flash["code"] + flash["weights"] + flash["rodata"]
    assert flash["weights"] > sum(n.operator.weights.size for n in graph.nodes if hasattr(n.operator, "weights"))
    assert measured["metric"] is None
    assert measured["verify"] == {"samples": 5, "values": 9, "differing": 0, "engines": ["torch"]}
    again, _ = run(target, inputs, tmp_path)
    assert again == measured


def test_this_machine_counts_no_instructions(samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    inputs = build("x86-64", tmp_path, samples["image"][0])
    del inputs["profile"]
    measured, text = run("x86-64", inputs, tmp_path)
    assert text == "self test passed\n"
    assert measured["instructions"] is None
    assert (measured["ram"]["stack"], measured["ram"]["stack_is"]) == (None, None)
    assert {layer["instructions"] for layer in measured["layers"]} == {None}


def test_unverified_objects_are_refused(samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    inputs = build("x86-64", tmp_path, samples["image"][0])
    with Path(inputs["objects"][0]).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(UserError) as caught:
        run("x86-64", inputs, tmp_path)
    assert str(caught.value) == "small.elf: its objects are not those that were verified; build it again"


def test_console_lines() -> None:
    text = "nn:run 5\nface nn:run 9\nnn:run 70\nnn:layer 1 30\nnn:layer 0 40\nnn:layer 1 31\nnn:stack 1,5\n"
    assert console.number(text, "run") == 70
    assert console.number(text, "stack") is None
    assert console.layer_ticks(text) == {0: 40, 1: 31}
    assert console.without(text, "run").startswith("face nn:run 9\nnn:layer 1")
