"""A stage as an SCons action: its signature, its process, its failure."""

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from SCons.Action import FunctionAction

from nnrules.catalog.sources import Sources, reference_file
from nnrules.catalog.stages import STAGES, Options
from nnrules.rules.failure import StageError
from nnrules.rules.journal import Journal

_PACKAGE = Path(__file__).resolve().parents[1]
_USER_ERROR, _INTERRUPTED = 2, 130


@dataclass(frozen=True)
class Stage:
    """One run of a stage. `references`: "path.py:Class" by input name; `inputs`, `outputs`: SCons nodes by name."""

    verb: str
    model: str
    target: str | None
    options: Options
    references: Mapping[str, str]
    inputs: Mapping[str, list[Any]]
    outputs: Mapping[str, Any]

    @property
    def label(self) -> str:
        """How the stage is called on the terminal."""
        return f"[{self.model} {self.target}] {self.verb}" if self.target else f"[{self.model}] {self.verb}"

    def command(self) -> list[str]:
        """The process that runs the stage, as an argument list."""
        words = [sys.executable, "-m", f"nnrules.stages.{self.verb}", "--model", self.model]
        words += ["--target", self.target] if self.target else []
        for name, text in self.references.items():
            words += ["--in", f"{name}={text}"]
        for name, nodes in self.inputs.items():
            words += [word for node in nodes for word in ("--in", f"{name}={node}")]
        for name, node in self.outputs.items():
            words += ["--out", f"{name}={node}"]
        return [*words, "--options", msgspec.json.encode(self.options, order="sorted").decode()]

    def python_files(self) -> list[Path]:
        """The roots of the Python that the stage runs: its module, its plug-ins, the files of its references."""
        fields = msgspec.structs.asdict(self.options)
        globs = [pattern.format_map(fields) for pattern in STAGES[self.verb].plugins]
        plugins = [path for pattern in globs for path in sorted(_PACKAGE.glob(pattern))]
        return [
            _PACKAGE / f"stages/{self.verb}.py",
            *plugins,
            *(reference_file(r)[0] for r in self.references.values()),
        ]


class StageAction(FunctionAction):
    """Runs a stage as a process. The signature says all that its files do not: options, versions, Python sources."""

    def __init__(self, stage: Stage, sources: Sources, journal: Journal) -> None:
        super().__init__(self._execute, {"cmdstr": None})
        self._stage, self._sources, self._journal = stage, sources, journal

    def get_presig(self, target: Any, source: Any, env: Any, executor: Any = None) -> bytes:
        """Canonical JSON; no path of this machine and nothing of Python's own bytecode enters it."""
        stage, known = self._stage, STAGES[self._stage.verb]
        signature = {
            "stage": stage.verb,
            "version": known.version,
            "options": msgspec.to_builtins(stage.options),
            "libraries": {name: installed_versions().get(name.replace("-", "_")) for name in known.libraries},
            "sources": self._sources.fingerprint(stage.python_files()),
            "references": {name: reference_file(text)[1] for name, text in stage.references.items()},
            "inputs": {name: len(nodes) for name, nodes in stage.inputs.items()},
        }
        return json.dumps(signature, sort_keys=True).encode()

    def strfunction(self, target: Any, source: Any, env: Any, executor: Any = None) -> str | None:
        """What a dry run prints; a real one prints its own lines."""
        return self._stage.label if env.GetOption("no_exec") else None

    def _execute(self, target: Any, source: Any, env: Any) -> StageError | None:
        stage, journal = self._stage, self._journal
        journal.say(stage.label)
        start = time.monotonic()
        status = subprocess.run(stage.command(), check=False).returncode
        seconds = time.monotonic() - start
        journal.took(target[0], seconds)
        if status == 0:
            journal.say(f"{stage.label}: {seconds:.1f} s")
            return None
        if status not in (_USER_ERROR, _INTERRUPTED):
            journal.say(f"{stage.label} {_ending(status)}; to repeat it alone: {shlex.join(stage.command())}")
        return StageError(node=target, errstr=stage.label, status=2, exitstatus=2)


def _ending(status: int) -> str:
    return f"failed with status {status}" if status > 0 else f"was killed by {signal.Signals(-status).name}"


@cache
def installed_versions() -> dict[str, str]:
    """Version by distribution name (lower case, `_` for `-`), read off the names of the installed metadata folders."""
    folders = [Path(entry) for entry in reversed(sys.path) if entry and Path(entry).is_dir()]
    names = [path.name.removesuffix(".dist-info") for folder in folders for path in folder.glob("*.dist-info")]
    return {name.lower().replace("-", "_"): version for name, _, version in (name.partition("-") for name in names)}
