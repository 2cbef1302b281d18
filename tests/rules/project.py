"""A project of its own with its own copy of nnrules, so that a test may edit anything; builds, and what they did."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Finished:
    """A build that is over."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Project:
    """`top`: the folder with SConstruct, models/, nnrules/, kernels/ and toolchains/."""

    top: Path

    @classmethod
    def create(cls, top: Path) -> "Project":
        """The project of tests/rules/sample_project, with this checkout's nnrules, in a new folder."""
        shutil.rmtree(top, ignore_errors=True)
        shutil.copytree(Path(__file__).with_name("sample_project"), top)
        for name in ("nnrules", "kernels", "toolchains"):
            shutil.copytree(TOP / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(TOP / "SConstruct", top)
        return cls(top)

    def copy(self, top: Path) -> "Project":
        """The same project with everything built, in another folder."""
        shutil.copytree(self.top, top, symlinks=True)
        return Project(top)

    def build(
        self, *words: str, python: tuple[str, ...] = (), path: str | None = None, cache: str | None = "none"
    ) -> Finished:
        """Run scons with `words`; `python`: its options; `path`: another PATH; `cache`: NNRULES_CACHE."""
        process = self.start(*words, python=python, path=path, cache=cache)
        stdout, stderr = process.communicate()
        return Finished(process.returncode, stdout, stderr)

    def start(
        self, *words: str, python: tuple[str, ...] = (), path: str | None = None, cache: str | None = "none"
    ) -> subprocess.Popen[str]:
        """The process of such a build."""
        environment = {**os.environ, "PYTHONPATH": str(self.top), "NNRULES_CACHE": cache or ""}
        environment |= {"PATH": path} if path else {}
        command = [sys.executable, *python, "-m", "SCons", "-Q", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.top, env=environment, stdout=pipe, stderr=pipe, text=True)

    def refusals(self, texts: Sequence[str]) -> list[str]:
        """What one build says about each of these texts for models/bad/SConscript, where `m` is a model bad0, bad1, ...

        `accepted` where it says nothing. The texts stand in line 4. Nothing may run.
        """
        (self.top / "models/bad").mkdir(exist_ok=True)
        (self.top / "models/bad/SConscript").write_text(REFUSALS.replace("TEXTS", repr(list(texts))))
        done = self.build("model=bad")
        assert (done.status, done.stdout) == (2, ""), done.stdout
        lines = done.stderr.splitlines()
        assert len(lines) == len(texts), done.stderr
        return lines

    def rebuild(self, *words: str) -> set[str]:
        """A build that must succeed; the stages that ran in it."""
        done = self.build(*words)
        assert done.status == 0, done.stdout + done.stderr
        return self.stages("ran")

    def stages(self, result: str) -> set[str]:
        """`tiny train`, ... of the stages with this result in the last build; compilations and links left out."""
        rows = self.last_build()
        return {f"{row['model']} {row['stage']}" for row in rows if row["result"] == result and " " not in row["stage"]}

    def compiled(self) -> set[str]:
        """What the C builders did in the last build: `tiny compile tiny.o`, ..."""
        rows = self.last_build()
        return {f"{row['model']} {row['stage']}" for row in rows if row["result"] == "ran" and " " in row["stage"]}

    def last_build(self) -> list[dict[str, str]]:
        """The rows of build/last_build.json."""
        rows: list[dict[str, str]] = json.loads((self.top / "build/last_build.json").read_text())["stages"]
        return rows

    def edit(self, file: str, pattern: str, replacement: str) -> None:
        """Replace the first match of a regular expression in a file; it must be there."""
        path = self.top / file
        text, count = re.subn(pattern, replacement, path.read_text(), count=1)
        assert count == 1, f"{pattern} is not in {file}"
        path.write_text(text)


REFUSALS = """Import("env", "Budget")
import sys

SPACE = {"train.learning_rate": (0.001, 0.1, "log")}
for number, text in enumerate(TEXTS):
    m = env.Model(f"bad{number}", network="#models/tiny/network.py:Tiny", dataset="#models/tiny/dataset.py:Bars")
    try:
        exec(compile(f"\\n\\n\\n{text}", "models/bad/SConscript", "exec"))
        print("accepted", file=sys.stderr)
    except SystemExit as leaving:
        if leaving.code != 2:
            print("exit code", leaving.code, file=sys.stderr)
raise SystemExit(2)
"""
ORDER = (
    "train", "export", "quantize", "lower", "sample", "evaluate",
    "plan", "generate", "verify", "measure", "gate", "report",
)  # fmt: skip


def after(model: str, stage: str) -> set[str]:
    """The stages of a model from `stage` on."""
    return {f"{model} {name}" for name in ORDER[ORDER.index(stage) :]}
