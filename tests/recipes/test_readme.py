"""The README is true: its recipes are followed to the letter in a copy of the project, its listings are real files."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.needs import need_target
from tests.rules.project import TOP, Project

README = (TOP / "README.md").read_text()
LISTING = re.compile(r"`([\w./-]+)`(?: is the whole declaration)?:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LISTINGS = dict(LISTING.findall(README))


def follow(project: Project, *names: str) -> None:
    """Write the README's listings into the project."""
    for name in names:
        path = project.top / name
        assert not path.exists(), f"{name} is there already"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LISTINGS[name])


def with_tests(project: Project) -> Project:
    """The project with a copy of the tests, and of the benchmarks that they run."""
    for name in ("tests", "benchmarks"):
        shutil.copytree(TOP / name, project.top / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOP / "pyproject.toml", project.top)
    return project


def run(project: Project, *words: str) -> str:
    """What Python prints, run with the project's own nnrules and tests; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(project.top)}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=project.top, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(project: Project, *words: str) -> int:
    """How many tests pass; none may fail."""
    output = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words)
    return int(re.findall(r"(\d+) passed", output)[0])


def test_models(tmp_path: Path) -> None:
    """The first one, and the same trained, pruned and quantized otherwise, built together."""
    project = Project.create(tmp_path / "project")
    follow(project, *(name for name in LISTINGS if name.startswith("models/bars/")))
    shutil.copytree(project.top / "models/bars", project.top / "models/lean")
    section = README.partition("## Training and lightweighting")[2].partition("\n## ")[0]
    script = section.partition("```python\n")[2].partition("```")[0]
    (project.top / "models/lean/SConscript").write_text(script.replace('"bars"', '"lean"'))
    project.rebuild("model=bars,lean", "-j2")
    for name in ("bars", "lean"):
        measured = json.loads((project.top / f"build/{name}/x86-64/{name}.measured.json").read_text())
        assert measured["verify"]["differing"] == 0
        assert measured["metric"]["integer"] > 0.9
    learned = json.loads((project.top / "build/lean/lean.quantizers.json").read_text())
    assert learned["head"]["hi"] - learned["head"]["lo"] == 15


def test_a_target(project: Project) -> None:
    need_target("cortex-m7")
    follow(project, "toolchains/cortex-m3.toml")
    project.rebuild("target=cortex-m3", "model=tiny")
    proof = json.loads((project.top / "build/tiny/cortex-m3/tiny.verify.json").read_text())
    assert proof["differing"] == 0
    assert "c-target" in proof["engines"]
    measured = json.loads((project.top / "build/tiny/cortex-m3/tiny.measured.json").read_text())
    assert measured["instructions"] > measured["macs"]


def test_a_kernel(tmp_path: Path) -> None:
    project = with_tests(Project.create(tmp_path / "project"))
    follow(project, *(name for name in LISTINGS if "lookup_by_4" in name))
    assert passed(project, "tests/kernels", "-k", "host and lookup") == 1
    script = (
        "from nnrules.catalog.kernel import load_kernels\n"
        "lookups = [k for k in load_kernels() if k.op == 'lookup' and not k.refusal({'size': 64}, ('portable',))]\n"
        "print(min(lookups, key=lambda k: k.instructions({'size': 64})).name)\n"
    )
    assert run(project, "-c", script) == "lookup_by_4_s8__portable\n"


def test_an_operator(tmp_path: Path) -> None:
    project = with_tests(Project.create(tmp_path / "project"))
    names = [name for name in LISTINGS if "/mean" in name]
    assert len(names) == 4
    follow(project, *names)
    chosen = "(mean and not campaign) or every_operator_has"
    assert passed(project, "tests/graph/test_operators.py", "tests/kernels", "-k", chosen) >= 5


def test_listings_are_the_files() -> None:
    assert LISTINGS["models/facedet/SConscript"] == (TOP / "models/facedet/SConscript").read_text()


def test_the_folder_map_is_complete() -> None:
    section = README.partition("## Folders")[2].partition("\n## ")[0]
    for folder in sorted(path.name for path in (TOP / "nnrules").iterdir() if path.is_dir() and path.name[0] != "_"):
        assert f" {folder}/ " in section, f"the folder map does not name nnrules/{folder}"
    for stage in sorted(path.stem for path in (TOP / "nnrules/stages").glob("*.py")):
        assert stage in ("__init__", "runner") or f" {stage}" in section, f"the folder map does not name stage {stage}"
