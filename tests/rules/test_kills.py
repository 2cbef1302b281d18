"""Builds in which something is killed at a random moment: nothing is left running, nothing half-written, and the next
build ends as if nothing had been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needs import need_command
from tests.rules.marked import Process, marked, wait_for
from tests.rules.project import Project

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")

WORDS = ("model=tiny", "tiny.train.epochs=60", "-k")
VICTIMS = [
    ("scons", signal.SIGKILL),
    ("server", signal.SIGKILL),
    ("stage", signal.SIGKILL),
    ("compiler", signal.SIGKILL),
    ("scons", signal.SIGINT),
    ("scons", signal.SIGTERM),
    ("scons", signal.SIGHUP),
]
SAMPLE = (0, 2, 5)  # of the seeds
SOON = 20.0  # seconds on a busy machine; alone it takes less than three
BUILT = 300.0  # seconds that no build takes
MEMORY = ("last_build.json", ".lock", ".unsaved", ".sconsign")  # not targets


@dataclass(frozen=True)
class Undisturbed:
    """What such a build makes, and how long it takes."""

    files: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    need_command("gcc", "gcc")
    project = Project.create(tmp_path_factory.mktemp("undisturbed") / "project")
    start = time.monotonic()
    done = project.build(*WORDS)
    assert done.status == 0, done.stdout + done.stderr
    return Undisturbed(targets(project), time.monotonic() - start)


def targets(project: Project) -> dict[str, bytes]:
    """Content by name of all that was built, and of what was not meant to stay."""
    build = project.top / "build"
    files = [path for path in build.rglob("*") if path.is_file() and not path.name.startswith(MEMORY)]
    return {str(path.relative_to(build)): path.read_bytes() for path in files}


@pytest.mark.parametrize("seed", SAMPLE)
def test_killed_at_a_random_moment(seed: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    killed(seed, undisturbed, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("seed", [seed for seed in range(56) if seed not in SAMPLE])
def test_killed_at_many_moments(seed: int, undisturbed: Undisturbed, tmp_path: Path) -> None:
    killed(seed, undisturbed, tmp_path)


def killed(seed: int, undisturbed: Undisturbed, folder: Path) -> None:
    """Build, kill, look; build again, and compare."""
    chance = random.Random(seed)
    kind, number = VICTIMS[seed % len(VICTIMS)]
    jobs, cache = chance.choice(["-j1", "-j3"]), chance.choice(["none", str(folder / "cache")])
    moment = chance.uniform(0, undisturbed.seconds)
    project = Project.create(folder / "project")
    mark = f"{folder}/mark"
    build = project.start(*WORDS, jobs, f"cache={cache}", path=f"{mark}:{os.environ['PATH']}")
    hit = strike(build, mark, kind, number, moment)
    at = time.monotonic()
    stdout, stderr = build.communicate(timeout=BUILT)
    told = f"{seed}: {kind} {number!r} at {moment:.1f} s {jobs} {cache} hit {hit}\n{stdout}{stderr}"
    if hit and kind == "scons":
        assert time.monotonic() - at < SOON, told
        assert build.returncode == (-number if number == signal.SIGKILL else 2), told
    wait_for(lambda: not marked(mark), SOON)
    left = {name: content for name, content in targets(project).items() if not name.endswith(".partial")}
    assert not [name for name, content in left.items() if content != undisturbed.files.get(name)], told
    resumes = checkpoints(project)
    again = project.build(*WORDS, f"cache={cache}")
    assert again.status == 0, told + again.stdout + again.stderr
    assert targets(project) == undisturbed.files, told
    assert again.stderr.count("resumed after epoch") == resumes, told + again.stderr
    shutil.rmtree(folder, ignore_errors=True)


def strike(
    build: "subprocess.Popen[str]", mark: str, kind: str, number: signal.Signals, moment: float
) -> Process | None:
    """Wait for the moment, then for a victim, and send it the signal; None where the build was over first."""
    time.sleep(moment)
    while build.poll() is None:
        for process in marked(mark):
            if process.kind == kind:
                process.kill(number)
                return process
        time.sleep(0.005)
    return None


def checkpoints(project: Project) -> int:
    """How many trainings were begun and are not over."""
    return len(list(project.top.glob(".nnrules/checkpoints/*/checkpoint.safetensors")))
