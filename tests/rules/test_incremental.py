"""What runs again after an edit: the stages are counted in build/last_build.json.

`gate` reads nothing but the figures, so it stays current where an edit leaves those as they are.
"""

from pathlib import Path

import pytest

from tests.rules.project import Project, after

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "nnrules.stages")


def test_the_first_build_runs_every_stage_once(built: Project) -> None:
    assert built.stages("ran") == after("tiny", "train") | after("dense", "train")


def test_the_second_build_does_nothing_and_imports_nothing_heavy(project: Project) -> None:
    done = project.build("model=all", python=("-X", "importtime"))
    assert done.status == 0
    assert "scons: `all-models' is up to date." in done.stdout
    assert {row["result"] for row in project.last_build()} == {"current"}
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "nnrules.rules.project" in imported
    assert not {name for name in imported if name.startswith(HEAVY)}


@pytest.mark.parametrize("file", ["README.md", "models/tiny/notes.txt", "nnrules/new_module.py"])
def test_a_file_that_nothing_reads_changes_nothing(project: Project, file: str) -> None:
    (project.top / file).write_text("# words\n")
    assert project.rebuild("model=all") == set()


@pytest.mark.parametrize(
    ("file", "pattern", "replacement"),
    [
        ("models/tiny/network.py", "class Tiny", "# a comment\nclass Tiny"),
        ("models/tiny/network.py", '"""Cross entropy per cell."""', '"""Words."""'),
        ("models/tiny/layers.py", '"""Convolution', '"""A convolution'),
        ("nnrules/training/loop.py", "\nimport", "\n# a comment\nimport"),
        ("models/tiny/SConscript", "\n\n", "\n# a comment\n\n"),
    ],
)
def test_comments_and_docstrings_change_nothing(project: Project, file: str, pattern: str, replacement: str) -> None:
    project.edit(file, pattern, replacement)
    assert project.rebuild("model=all") == set()


def test_the_learning_rate_runs_from_train(project: Project) -> None:
    project.edit("models/dense/SConscript", "epochs=1", "epochs=1, learning_rate=0.01")
    assert project.rebuild("model=all") == after("dense", "train") - {"dense gate"}


def test_a_module_that_the_network_imports_runs_from_train(project: Project) -> None:
    project.edit("models/tiny/layers.py", "bias=False", "bias=True")
    assert project.build("-n", "model=all").stdout.splitlines()[:2] == ["[tiny] train: run", "[tiny] export: run"]


def test_an_option_of_quantize_runs_from_quantize(project: Project) -> None:
    ran = project.rebuild("model=all", "tiny.quantize.percentile=90")
    assert after("tiny", "quantize") - {"tiny gate"} <= ran <= after("tiny", "quantize")
    assert project.rebuild("model=all", "tiny.quantize.percentile=90") == set()


def test_the_order_of_options_changes_nothing(project: Project) -> None:
    project.edit("models/tiny/SConscript", "epochs=2, batch_size=16", "batch_size=16, epochs=2")
    assert project.rebuild("model=all") == set()


def test_a_template_runs_generate_of_the_models_that_use_it(project: Project) -> None:
    project.edit("kernels/conv2d/conv2d_s8__portable.c.j2", r"\A", "/* words */\n")
    ran = project.rebuild("model=all")
    assert "tiny generate" in ran
    assert not any(stage.startswith("dense") for stage in ran)
    assert "tiny compile tiny.o" in project.compiled()


def test_generate_that_gives_the_same_bytes_ends_there(project: Project) -> None:
    project.edit("kernels/conv2d/conv2d_s8__portable.c.j2", r"\A", "{# words #}")
    assert project.rebuild("model=all") == {"tiny generate"}
    assert project.compiled() == set()


def test_a_kernel_description_runs_plan(project: Project) -> None:
    project.edit("kernels/softmax/softmax_s8__portable.toml", r"\A", "# words\n")
    assert project.rebuild("model=all") == {"tiny plan", "dense plan"}


def test_the_toolchain_runs_what_depends_on_the_target(project: Project) -> None:
    project.edit("toolchains/x86-64.toml", "-O2", "-O1")
    ran = project.rebuild("model=tiny")
    assert {"tiny plan", "tiny verify", "tiny measure"} <= ran
    assert not ran & {"tiny train", "tiny export", "tiny quantize", "tiny lower", "tiny sample", "tiny evaluate"}


def test_another_target_takes_what_there_is(project: Project) -> None:
    ran = project.rebuild("model=dense", "target=cortex-m4")
    assert ran == after("dense", "plan")


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("x86-64/tiny.h", "generate"),
        ("x86-64/tiny.c", "generate"),
        ("tiny.graph.json", "lower"),
        ("x86-64/tiny.plan.json", "plan"),
        ("tiny.float.onnx", "export"),
    ],
)
def test_a_deleted_file_is_made_again_and_nothing_else(project: Project, file: str, stage: str) -> None:
    path = project.top / "build/tiny" / file
    before = path.read_bytes()
    path.unlink()
    assert project.rebuild("model=all") == {f"tiny {stage}"}
    assert path.read_bytes() == before
    assert project.rebuild("model=all") == set()


def test_an_edit_of_a_stage_runs_it(project: Project) -> None:
    project.edit("nnrules/stages/gate.py", "def run", "EXTRA = 1\n\n\ndef run")
    assert project.rebuild("model=all") == {"tiny gate", "dense gate"}


def test_only_the_chosen_models_are_read(project: Project) -> None:
    (project.top / "models/tiny/SConscript").write_text("raise SystemError\n")
    assert project.rebuild("model=dense") == set()


@pytest.mark.parametrize("place", ["{}/real", "real"])
def test_data_counts_by_its_content(project: Project, tmp_path: Path, place: str) -> None:
    data, weights = project.top / place.format(tmp_path), "build/dense/dense.trained.safetensors"
    data.mkdir()
    (data / "noise.txt").write_text("0.1")
    project.edit("models/dense/dataset.py", "split: str", "split: str, data: object = None")
    words = ("model=dense", f"data={place.format(tmp_path)}", weights)
    assert project.rebuild(*words) == {"dense train"}
    assert project.rebuild(*words) == set()
    (data / "noise.txt").write_text("0.2")
    assert "[dense] train" in project.build("-n", *words).stdout
    (data / "noise.txt").write_text("0.1")
    (data / "more.txt").touch()
    assert "[dense] train" in project.build("-n", *words).stdout


def test_pruning_is_one_option(project: Project) -> None:
    ran = project.rebuild("model=tiny", "tiny.prune.sparsity=0.25", "tiny.prune.round_to=1")
    assert {"tiny prune", "tiny export", "tiny verify", "tiny report"} <= ran
    assert "tiny train" not in ran
