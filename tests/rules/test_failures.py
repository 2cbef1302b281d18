"""Failed stages, cleaning, the lock, and builds that fail half way."""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import SCons.Errors
import SCons.Node
from SCons.Taskmaster import Taskmaster

from nnrules.rules.failure import StageError, _Quiet
from tests.rules.project import Project, after


def test_a_failed_stage_leaves_no_target(project: Project) -> None:
    project.edit(
        "models/dense/network.py", "return self.head", "raise ArithmeticError('too dense')\n        return self.head"
    )
    done = project.build("model=all")
    assert done.status == 2
    assert done.stderr.splitlines()[-1:] == [
        "models/dense/network.py:15: ArithmeticError: too dense; fix the exception and build again"
    ]
    assert project.stages("failed") == {"dense train"}
    assert not (project.top / "build/dense/dense.trained.safetensors").exists()
    assert not list((project.top / "build/dense").glob(".*.partial"))
    project.edit("models/dense/network.py", "raise ArithmeticError.*\n", "\n")
    assert "dense train" in project.rebuild("model=all")


def test_a_bug_in_a_stage_shows_its_traceback_and_the_command_that_repeats_it(project: Project) -> None:
    project.edit("nnrules/stages/lower.py", r'\) -> None:\n    """[^"]*"""', ") -> None:\n    raise ZeroDivisionError")
    done = project.build("model=dense")
    assert done.status == 2
    assert "ZeroDivisionError" in done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "to repeat it alone" in line]
    assert line.startswith("[dense] lower failed with status 1; to repeat it alone: ")
    assert "-m nnrules.stages.lower --model dense --in model=build/dense/dense.onnx" in line


def test_keep_going_builds_the_other_model(project: Project) -> None:
    project.edit("models/dense/network.py", "return self.head", "raise ArithmeticError\n        return self.head")
    project.edit("models/tiny/SConscript", "percentile=99.9", "percentile=98")
    assert project.build("model=all", "-k").status == 2
    assert project.stages("failed") == {"dense train"}
    assert after("tiny", "quantize") - {"tiny gate"} <= project.stages("ran") <= after("tiny", "quantize")


def test_what_waits_for_a_failed_step_is_no_cycle() -> None:
    """With -k and -j2 SCons may look at it after the failure."""
    waiting, taskmaster = SCons.Node.Node(), Taskmaster()
    waiting.set_state(SCons.Node.failed)
    taskmaster.pending_children = {waiting}
    with pytest.raises(SCons.Errors.UserError, match="Found dependency cycle"):
        taskmaster.cleanup()
    parts = {"tm": taskmaster, "exc_info": lambda self: (StageError, StageError(status=2), None)}
    parts |= {"do_failed": lambda self, status: None, "exc_clear": lambda self: None}
    type("Task", (_Quiet,), parts)().failed()
    taskmaster.cleanup()


def test_clean_removes_what_was_built_and_keeps_checkpoints(project: Project) -> None:
    checkpoint = project.top / ".nnrules/checkpoints/0123/checkpoint.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    assert project.build("model=all", "-c").status == 0
    left = {path.name for path in (project.top / "build").rglob("*") if path.is_file()}
    assert left == {"last_build.json", ".lock", ".sconsign.dblite"}
    assert checkpoint.exists()


def test_a_dry_run_names_the_stages_and_changes_nothing(project: Project) -> None:
    before = project.last_build()
    done = project.build("-n", "model=tiny", "tiny.quantize.percentile=97")
    assert done.stdout.splitlines()[0] == "[tiny] quantize: run"
    assert project.last_build() == before
    assert project.rebuild("model=tiny") == set()


def test_a_second_build_in_the_same_folder_is_refused(project: Project) -> None:
    with (project.top / "build/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = project.build("model=tiny")
    line = (
        "build: another build is running in this folder; wait for it to end or choose another folder with build_dir=\n"
    )
    assert (done.status, done.stderr) == (2, line)
    assert project.rebuild("model=tiny") == set()


def test_a_killed_build_takes_its_stage_with_it(project: Project) -> None:
    build = project.start("model=tiny", "tiny.train.epochs=1000000")
    wait_for(lambda: bool(list(project.top.glob(".nnrules/checkpoints/*/*.safetensors"))), 60)
    children = Path(f"/proc/{build.pid}/task/{build.pid}/children").read_text().split()
    build.kill()
    build.communicate()
    assert children
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children), 10)
    assert not (project.top / "build/tiny/tiny.trained.safetensors").exists()


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_last_build_names_every_stage(project: Project) -> None:
    project.rebuild("model=tiny", "tiny.gate.ram=100000")
    rows = {(row["model"], row["target"], row["stage"], row["result"]) for row in project.last_build()}
    assert ("tiny", None, "train", "current") in rows
    assert ("tiny", "x86-64", "gate", "ran") in rows
    assert ("tiny", "x86-64", "link tiny.elf", "current") in rows
    assert all(float(row["seconds"]) >= 0 for row in project.last_build())


def test_the_table_shows_every_model_and_target(project: Project) -> None:
    lines = project.build("model=all").stdout.splitlines()
    (heading,) = (index for index, line in enumerate(lines) if line.split()[:3] == ["model", "target", "metric"])
    assert [line.split()[0] for line in lines[heading + 1 : heading + 3]] == ["dense", "tiny"]
    told = [line.partition(":")[0] for line in lines[heading + 3 :] if line.startswith("RAM of ")]
    assert told == ["RAM of dense on x86-64", "RAM of tiny on x86-64"]


def test_another_folder_as_build_dir(project: Project) -> None:
    done = project.build("-n", "model=dense", "build_dir=out/here")
    assert done.status == 0
    assert "[dense x86-64] link dense.elf: run" in done.stdout
