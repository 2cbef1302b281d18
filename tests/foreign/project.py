"""Firmware projects of other people's, in folders of their own, with the sample models; their builds and programs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnrules.graph import ir
from tests.rules.project import TOP, Finished

HERE = Path(__file__).resolve().parent
MODELS = TOP / "tests/rules/sample_project/models"


@dataclass(frozen=True)
class Foreign:
    """`top`: the folder of the SConstruct; `cache`: shared by tests, so that each model is trained once."""

    top: Path
    cache: Path | None
    python: Path = Path(sys.executable)
    path: tuple[Path, ...] = (TOP,)
    extra: Mapping[str, str] = field(default_factory=dict)

    def take(self, name: str, to: str = "") -> None:
        """Copy a project of this folder."""
        shutil.copytree(HERE / name, self.top / to, dirs_exist_ok=True)

    def model(self, name: str, folder: str = "models") -> None:
        """Copy a model of the sample project."""
        shutil.copytree(MODELS / name, self.top / folder / name, ignore=shutil.ignore_patterns("__pycache__"))

    def write(self, name: str, text: str) -> None:
        """A file of the project."""
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def scons(self, *words: str, folder: str = "") -> Finished:
        """Run scons in the project, or in a folder of it."""
        return self.run(str(self.python), "-m", "SCons", "-Q", *words, folder=folder)

    def built(self, *words: str, folder: str = "") -> str:
        """A build that must succeed; what it printed."""
        done = self.scons(*words, folder=folder)
        assert done.status == 0, done.stdout + done.stderr
        return done.stdout

    def refused(self, *words: str) -> str:
        """A build that must end with a user's mistake; its one line."""
        done = self.scons(*words)
        assert done.status == 2, done.stdout + done.stderr
        return done.stderr

    def run(self, *command: str, folder: str = "") -> Finished:
        """Run a program in the project."""
        environment = {**os.environ, "NNRULES_CACHE": str(self.cache or ""), **self.extra}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, self.path))
        done = subprocess.run(
            command, cwd=self.top / folder, env=environment, capture_output=True, text=True, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def emulated(self, machine: str, elf: str) -> str:
        """What firmware prints under QEMU."""
        done = self.run(
            "timeout", "60", "qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none", "-serial",
            "none", "-semihosting-config", "enable=on,target=native", "-kernel", elf,
        )  # fmt: skip
        assert done.status == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def says(self, *models: str, build: str = "build/nnrules") -> str:
        """What right firmware prints: the self test's verdict and the outputs that the exact reference computes."""
        return "".join(f"self test passed\n{name} {numbers(self.top / build / name)}\n" for name in models)

    def stages(self, result: str = "ran") -> list[str]:
        """`tiny train`, ... of the stages with this result in the last build."""
        rows = json.loads((self.top / "build/nnrules/last_build.json").read_text())["stages"]
        return [f"{row['model']} {row['stage']}" for row in rows if row["result"] == result and " " not in row["stage"]]


def numbers(folder: Path) -> str:
    """The outputs of a model for the first of its held-out samples, which the self test runs."""
    graph = ir.load(folder / f"{folder.name}.graph.json")
    with np.load(folder / f"{folder.name}.samples.npz") as samples:
        values = graph.run(samples["x"][:1])
    return " ".join(str(value) for value in values[graph.outputs[0]].ravel())
