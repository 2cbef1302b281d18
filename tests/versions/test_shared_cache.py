"""Two Pythons, two checkouts at different places, one cache: what the one built, the other does not build again.

NNRULES_OTHER_PYTHON names the other one (paths, `:` between them), which must have SCons and the same libraries: other
versions of torch are other keys.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnrules.catalog.stages import STAGES
from tests.rules.project import Project
from tests.versions.test_digests import ask

LIBRARIES = {name.replace("-", "_") for stage in STAGES.values() for name in stage.libraries}
ASK = "import json; from nnrules.catalog.identity import installed_versions as ask; print(json.dumps(ask()))"
OTHERS = [path for path in os.environ.get("NNRULES_OTHER_PYTHON", "").split(os.pathsep) if path]


def build(python: str, top: Path, cache: Path) -> set[str]:
    """The results of all steps of a build with a Python."""
    environment = {**os.environ, "PYTHONPATH": str(top), "NNRULES_CACHE": str(cache)}
    command = [python, "-m", "SCons", "-Q", "model=dense", "target=x86-64"]
    done = subprocess.run(command, cwd=top, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return {row["result"] for row in Project(top).last_build()}


@pytest.mark.parametrize("python", OTHERS)
def test_the_other_python_runs_nothing(python: str, tmp_path: Path) -> None:
    here, there = (json.loads(ask(each, ASK)) for each in (sys.executable, python))
    assert {name: there.get(name) for name in LIBRARIES} == {name: here.get(name) for name in LIBRARIES}
    first, second = Project.create(tmp_path / "one"), Project.create(tmp_path / "deeper/another place")
    assert build(sys.executable, first.top, tmp_path / "cache") == {"ran"}
    assert build(python, second.top, tmp_path / "cache") == {"cached"}
