"""Running a stage as the build does, in a folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TASK = "task_files.py"


@pytest.fixture
def stage(tmp_path):
    """`stage(verb, outputs, options, **inputs)` -> the running process, working in tmp_path."""
    (tmp_path / TASK).write_bytes((Path(__file__).parent / TASK).read_bytes())

    def start(verb, outputs, options=None, **inputs):
        words = [
            sys.executable,
            "-m",
            f"nnrules.stages.{verb}",
            "--model",
            "halves",
            "--options",
            json.dumps(options or {}),
        ]
        words += [word for name, path in inputs.items() for word in ("--in", f"{name}={path}")]
        words += [word for name, path in outputs.items() for word in ("--out", f"{name}={path}")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)

    return start


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
