"""Model files without a SConscript, and env.ImportModel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.importers.files.make import noise
from tests.importers.pipeline import FILES
from tests.rules.project import Project

STAGES = (
    "convert",
    "quantize",
    "lower",
    "sample",
    "evaluate",
    "plan",
    "generate",
    "verify",
    "measure",
    "gate",
    "report",
)
ALL = {f"keras_int8 {stage}" for stage in STAGES}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    """A project, and a folder elsewhere with a model and 8 samples."""
    folder = tmp_path_factory.mktemp("imported")
    shutil.copy(FILES / "keras_int8.tflite", folder)
    np.savez(folder / "samples.npz", x=noise(8, channels_last=True), y=np.arange(8) % 5)
    return Project.create(folder / "project"), folder


def measured(project: Project, model: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.top / f"build/{model}/x86-64/{model}.measured.json").read_text())
    return found


def test_paths_are_seen_from_where_scons_is_called(own: tuple[Project, Path]) -> None:
    project, folder = own
    environment = {**os.environ, "PYTHONPATH": str(project.top), "NNRULES_CACHE": "none"}
    words = ["-C", "project", "-Q", "onnx=keras_int8.tflite", "samples=samples.npz"]
    subprocess.run([sys.executable, "-m", "SCons", *words], cwd=folder, env=environment, check=True)
    assert {f"{row['model']} {row['stage']}" for row in project.last_build()} >= ALL
    figures = measured(project, "keras_int8")
    assert figures["metric"]["name"] == "top-1"  # type: ignore[index]
    assert figures["verify"]["samples"] == 8  # type: ignore[index]
    page = (project.top / "build/keras_int8/x86-64/keras_int8.report.html").read_text()
    assert "values differ over 8 samples that were given" in page
    done = project.build(f"onnx={folder}/keras_int8.tflite", f"samples={folder}/samples.npz",
                         "keras_int8.gate.metric_at_least=1.5")  # fmt: skip
    score = figures["metric"]["integer"]  # type: ignore[index]
    assert (done.status, done.stderr) == (2, (
        f"build/keras_int8/x86-64/keras_int8.elf: top-1 {score:g} is below 1.5; "
        "the file is quantized already: import the float model, or ask for less in budget=\n"
    ))  # fmt: skip


def test_what_is_rebuilt(own: tuple[Project, Path]) -> None:
    project, folder = own
    words = (f"onnx={folder}/keras_int8.tflite", f"samples={folder}/samples.npz")
    assert project.rebuild(*words) <= ALL
    assert project.rebuild(*words) == set()
    np.savez(folder / "samples.npz", x=noise(8, channels_last=True))
    after_labels = project.rebuild(*words)
    assert {"keras_int8 convert", "keras_int8 evaluate", "keras_int8 measure"} <= after_labels
    assert "keras_int8 verify" not in after_labels  # the inputs are the same
    assert measured(project, "keras_int8")["metric"] is None


def test_a_sconscript_imports(own: tuple[Project, Path]) -> None:
    project = own[0]
    home = project.top / "models/mine"
    (home / "folder").mkdir(parents=True)
    shutil.copy(FILES / "nncf.onnx", home / "net.onnx")
    np.savez(home / "calibration.npz", x=noise(32))
    np.savez(home / "held_out.npz", x=noise(4), y=np.zeros(4, np.int64))
    (home / "SConscript").write_text(
        'Import("env", "Budget")\n'
        'mine = env.ImportModel("mine", onnx="net.onnx", calibration="calibration.npz", samples="held_out.npz")\n'
        'mine.Firmware(budget=Budget(ram="64 KB"))\n'
    )
    project.rebuild("model=mine", "mine.quantize.method=minmax")
    assert measured(project, "mine")["verify"]["differing"] == 0  # type: ignore[index]
    for given, fault in (
        ('onnx="net.onx"', "there is no file models/mine/net.onx; create it or correct the name"),
        ('onnx="folder"', "folder is a folder; name the file in it"),
        ('onnx="net.onnx", samples="folder"', "folder is a folder; name the file in it"),
    ):
        (home / "SConscript").write_text(f'Import("env")\nenv.ImportModel("mine", {given}).Firmware()\n')
        done = project.build("model=mine")
        assert (done.status, done.stderr) == (2, f"models/mine/SConscript:2: {fault}\n")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["onnx=none.onnx"], "onnx=none.onnx: there is no such file; correct the path"),
        (["onnx=models"], "onnx=models: is a folder; name the file in it"),
        (["onnx=models/net.onnx", "samples=models"], "samples=models: is a folder; name the file in it"),
        (["onnx=SConstruct"], "onnx=SConstruct: SConstruct is not a model file; "
                              "give one that ends in .onnx, .tflite, .pt2"),
        (["onnx=a.onnx", "model=tiny"], "onnx=a.onnx: and model=tiny are both given; say one of them"),
        (["samples=a.npz"], "samples=a.npz: belongs to no model file; say onnx=PATH too"),
    ],
)  # fmt: skip
def test_mistakes(own: tuple[Project, Path], words: list[str], line: str) -> None:
    shutil.copy(FILES / "nncf.onnx", own[0].top / "models/net.onnx")
    done = own[0].build(*words)
    assert (done.status, done.stderr) == (2, f"{line}\n")


def test_a_file_that_is_named_like_a_model_of_the_project(own: tuple[Project, Path]) -> None:
    project, folder = own
    given = (f"onnx={folder}/dense.tflite",)
    shutil.copy(FILES / "keras_int8.tflite", folder / "dense.tflite")
    project.rebuild("model=dense")
    trained = measured(project, "dense")
    left = project.top / "build/dense/cortex-m7/dense.measured.json"  # of an earlier build for another target
    left.parent.mkdir()
    left.write_text("{}")
    done = project.build(*given)
    assert "build/dense held another model of that name: its results are removed\n" in done.stdout
    assert measured(project, "dense")["macs"] == measured(project, "keras_int8")["macs"] != trained["macs"]
    assert not left.exists()
    assert project.rebuild(*given) == set()
    assert project.build("-n", "model=dense").status == 0
    assert measured(project, "dense")["macs"] != trained["macs"]
    stages = project.rebuild("model=dense")
    assert {"dense plan", "dense verify", "dense measure"} <= stages
    assert "dense train" not in stages
    assert measured(project, "dense") == trained
    assert project.rebuild("model=dense") == set()


def test_two_files_of_one_name(own: tuple[Project, Path]) -> None:
    project, folder = own
    (folder / "other").mkdir()
    shutil.copy(FILES / "keras_int8.tflite", folder / "net.tflite")
    shutil.copy(FILES / "keras_float_edges.tflite", folder / "other/net.tflite")
    np.savez(folder / "real.npz", x=noise(8, channels_last=True))
    samples = f"samples={folder}/real.npz"
    project.rebuild(f"onnx={folder}/net.tflite", samples)
    done = project.build(f"onnx={folder}/other/net.tflite", samples)
    assert (done.status, done.stdout.count("held another model")) == (0, 1)
    assert project.rebuild(f"onnx={folder}/other/net.tflite", samples) == set()
