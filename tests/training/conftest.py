"""Running a stage as the build does, in a folder of its own."""

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASK = "task_files.py"


def started(folder, verb, outputs, options=None, variables=None, **inputs):
    """A stage's process, working in a folder."""
    (folder / TASK).write_bytes((Path(__file__).parent / TASK).read_bytes())
    words = [sys.executable, "-m", f"nnrules.stages.{verb}", "--model", "halves"]
    words += ["--options", json.dumps(options or {})]
    words += [word for name, path in inputs.items() for word in ("--in", f"{name}={path}")]
    words += [word for name, path in outputs.items() for word in ("--out", f"{name}={path}")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(variables or {})}
    return subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def stage(tmp_path):
    """`stage(verb, outputs, options, **inputs)` -> the running process, working in tmp_path."""
    return partial(started, tmp_path)


@pytest.fixture
def request_for(tmp_path):
    """`request_for(verb, options, outputs, **inputs)` -> a stage's Request, to call its `run` in this process."""
    from nnrules.stages.runner import Request

    def make(verb, options, outputs, **inputs):
        given = {name: [str(path)] for name, path in inputs.items()}
        return Request(
            verb, "halves", "", options, given, {name: str(tmp_path / path) for name, path in outputs.items()}
        )

    return make


@pytest.fixture
def reference():
    """`reference("Class")` -> how a build refers to a class of the small task."""
    return lambda name: f"{Path(__file__).parent / TASK}:{name}"
