"""Why a stage runs, what would run, and what the cache would give: the words of --explain and -n."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.rules.project import Project


def explained(project: Project, *words: str) -> dict[str, str]:
    """What a build says of each step with --explain: label -> reason."""
    done = project.build("--explain", *words)
    assert done.status == 0, done.stderr
    return dict(re.findall(r"^(\[.*?\] [^:]*?) because (.*)$", done.stdout, re.MULTILINE))


def foreseen(project: Project, *words: str) -> dict[str, str]:
    """What -n says: label -> run or cached."""
    done = project.build("-n", *words)
    assert done.status == 0, done.stderr
    return dict(re.findall(r"^(\[.*?\] .*?): (run|cached)$", done.stdout, re.MULTILINE))


def test_an_option_with_its_old_and_new_value(project: Project) -> None:
    why = explained(project, "model=dense", "dense.quantize.samples=32")
    assert why["[dense] quantize"] == "option samples: 256 -> 32"
    assert why["[dense] lower"] == "build/dense/dense.onnx changed"


def test_a_python_file_by_its_name(project: Project) -> None:
    project.edit("models/tiny/layers.py", "bias=False", "bias=True")
    assert explained(project, "model=tiny", "build/tiny/tiny.trained.safetensors") == {
        "[tiny] train": "models/tiny/layers.py changed"
    }


def test_a_kernel_template_and_an_output_that_is_not_there(project: Project) -> None:
    (project.top / "build/dense/dense.float.onnx").unlink()
    project.edit("kernels/conv2d/conv2d_s8__portable.c.j2", r"\A", "{# words #}")
    why = explained(project, "model=all")
    assert why["[dense] export"] == "an output was not there"
    assert why["[tiny x86-64] generate"] == "kernels/conv2d/conv2d_s8__portable.c.j2 changed"


def test_a_program_that_the_data_set_runs(project: Project) -> None:
    """By its version; it must be there."""
    voice, trained = project.top / "bin/voice", "build/dense/dense.trained.safetensors"
    project.edit("models/dense/SConscript", r"Model\(", 'Model(programs=["voice"], name=')
    missing = project.build("-n", "model=dense")
    assert missing.status == 2
    assert "voice: is not installed; install it, or choose another target or model" in missing.stderr
    voice.parent.mkdir()
    path = f"{voice.parent}{os.pathsep}{os.environ['PATH']}"
    for version in ("1.51", "1.52"):
        voice.write_text(f"#!/bin/sh\necho voice {version}\n")
        voice.chmod(0o755)
        done = project.build("--explain", "model=dense", trained, path=path)
        assert done.status == 0, done.stderr
    assert "[dense] train because tool voice: voice 1.51 -> voice 1.52" in done.stdout


def test_a_flag_of_the_compiler(project: Project) -> None:
    project.edit("toolchains/x86-64.toml", "-O2", "-O1")
    why = explained(project, "model=dense", "build/dense/x86-64/objects/dense.o")
    assert why["[dense x86-64] compile dense.o"] == "flags: -O2 -> -O1"


def test_nothing_is_known_of_a_new_one(project: Project) -> None:
    why = explained(project, "model=dense", "target=cortex-m4", "build/dense/cortex-m4/dense.plan.json")
    assert why == {"[dense cortex-m4] plan": "it was not built here before"}


def test_a_dry_run_explains_too(project: Project) -> None:
    done = project.build("-n", "--explain", "model=dense", "dense.quantize.samples=32")
    lines = done.stdout.splitlines()
    assert lines[0] == "[dense] quantize: run because option samples: 256 -> 32"
    assert lines[1] == "[dense] lower: run because follows from [dense] quantize"


def test_a_dry_run_of_what_is_current(project: Project) -> None:
    assert foreseen(project, "model=all") == {}


def test_the_cache_is_foreseen_through_the_whole_graph(project: Project, tmp_path: Path) -> None:
    cache = f"cache={tmp_path / 'cache'}"
    (project.top / "build").rename(project.top / "before")
    assert set(foreseen(project, "model=dense", cache).values()) == {"run"}
    project.rebuild("model=dense", cache)
    ran = {
        f"[{row['model']}{' ' + row['target'] if row['target'] else ''}] {row['stage']}" for row in project.last_build()
    }
    assert set(foreseen(project, "model=dense", cache, "build_dir=other")) == ran
    assert set(foreseen(project, "model=dense", cache, "build_dir=other").values()) == {"cached"}
    project.edit("kernels/lookup/lookup_s8__portable.c.j2", r"\A", "/* words */\n")
    assert foreseen(project, "model=dense", cache) == {}
    done = project.build("model=dense", cache, "build_dir=other")
    assert done.status == 0, done.stderr
    rows = json.loads((project.top / "other/last_build.json").read_text())["stages"]
    assert {row["result"] for row in rows} == {"cached"}


def test_a_foreseen_run_is_what_runs(project: Project, tmp_path: Path) -> None:
    cache = f"cache={tmp_path / 'cache'}"
    words = ("model=tiny", cache, "tiny.quantize.percentile=90")
    project.rebuild(*words)
    project.rebuild("model=tiny", cache)
    seen = foreseen(project, *words)
    project.rebuild(*words)
    assert {label for label, state in seen.items() if state == "cached"} >= {
        f"[tiny] {name}" for name in ("quantize", "lower", "sample")
    }
    assert not project.stages("ran")


@pytest.mark.parametrize("option", ["--stage-commands"])
def test_the_command_that_repeats_a_stage(project: Project, option: str) -> None:
    (project.top / "build/dense/dense.qparams.json").unlink()
    done = project.build(option, "model=dense")
    (line,) = [line for line in done.stdout.splitlines() if "nnrules.stages.quantize" in line]
    assert line.startswith("[dense] quantize: ")
    assert "--out qparams=build/dense/dense.qparams.json" in line


def test_the_picture_of_a_build_and_of_a_dry_run(project: Project) -> None:
    drawn = project.top / "graph.dot"
    done = project.build("-n", "--graph=graph.dot", "model=tiny", "tiny.quantize.percentile=90")
    assert (done.status, done.stdout.splitlines()[-1]) == (0, "graph.dot: the build is drawn there")
    assert "option percentile: 99.9 -> 90" in drawn.read_text()
    planned = drawn.read_text()
    assert project.build("--graph=graph.dot", "model=tiny", "tiny.quantize.percentile=90").status == 0
    assert drawn.read_text() != planned
    assert project.build("--graph=graph.dot", "model=tiny", "tiny.quantize.percentile=90").status == 0
    assert "[tiny x86-64] link tiny.elf" in drawn.read_text()
    done = project.build("--graph=graph.png", "model=tiny")
    assert done.stderr == "--graph=graph.png: cannot be drawn as '.png'; end the name in .svg, .html or .dot\n"
