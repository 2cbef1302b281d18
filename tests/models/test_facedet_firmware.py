"""The main job on one epoch of training: the firmware runs under every emulator and finds its Python twin's faces."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from decode import decode

from nnrules.graph.ir import load
from tests.needs import need_target
from tests.rules.project import TOP, Project

TARGETS = ("cortex-m7", "cortex-m4", "riscv32", "x86-64")
DSP = ("cortex-m7", "cortex-m4")
SHORT = ("facedet.train.epochs=1", "facedet.gate.metric_at_least=0", "facedet.gate.metric_drop=1")


def read(build: Path, target: str, file: str) -> dict[str, Any]:
    return json.loads((build / target / f"facedet.{file}.json").read_text())


def check_engines(build: Path, target: str) -> None:
    """Zero differing values, in all five engines, on as many scenes as promised."""
    proof = read(build, target, "verify")
    assert proof["differing"] == 0
    assert proof["samples"] >= 50
    assert proof["target_samples"] >= 4
    assert set(proof["engines"]) == {"torch", "numpy", "onnxruntime", "c-host", "c-target"}


def check_memory(build: Path, target: str) -> None:
    """5 KB do, since the whole picture is never in memory; the arena is the plan's to the byte; 50 KB of weights."""
    measured = read(build, target, "measured")
    assert measured["ram"]["total"] <= (4.25 if target in DSP else 5) * 1024
    assert measured["ram"]["arena"] == read(build, target, "plan")["arena_bytes"]
    assert measured["flash"]["weights"] <= 50 * 1024


def check_faces(build: Path, target: str) -> None:
    """The application prints the faces that the Python decoder finds in the reference's output."""
    graph = load(build / "facedet.graph.json")
    x = np.load(build / "facedet.samples.npz")["x"][:1]
    tensor = graph.tensors[graph.outputs[0]]
    output = tensor.from_nhwc(graph.run(x)[tensor.name])[0]
    faces = decode(output, tensor.scale, tensor.zero_point, 0, 8)
    console = (build / target / "facedet.console.txt").read_text()
    printed = re.findall(r"^face \d+: .* score=(-?\d+)$", console, re.MULTILINE)
    assert [int(score) for score in printed] == [face.score for face in faces]


def test_facedet(tmp_path: Path) -> None:
    for target in TARGETS:
        need_target(target)
    project = Project.create(tmp_path / "project")
    shutil.copytree(TOP / "models/facedet", project.top / "models/facedet")
    project.rebuild(f"target={','.join(TARGETS)}", "model=facedet", *SHORT)
    build = project.top / "build/facedet"
    for target in TARGETS:
        check_engines(build, target)
        check_memory(build, target)
        check_faces(build, target)
        assert (build / target / "facedet.png").read_bytes().startswith(b"\x89PNG")
    measured = read(build, "cortex-m7", "measured")
    assert measured["instructions"] <= 1.0 * measured["macs"]
    assert sum(layer["macs"] for layer in measured["layers"]) == measured["macs"]
