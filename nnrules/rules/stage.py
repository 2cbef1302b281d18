"""A stage as an SCons action: its signature, its process, its failure."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from SCons.Action import FunctionAction

from nnrules.catalog.identity import BUILD_PROCESS, stage_identity
from nnrules.catalog.sources import Sources
from nnrules.catalog.stages import Options
from nnrules.rules.failure import StageError
from nnrules.rules.journal import Journal

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


class StageAction(FunctionAction):
    """Runs a stage as a process. The signature says all that its files do not: options, versions, Python sources."""

    def __init__(self, stage: Stage, sources: Sources, journal: Journal) -> None:
        super().__init__(self._execute, {"cmdstr": None})
        self._stage, self._sources, self._journal = stage, sources, journal

    def get_presig(self, target: Any, source: Any, env: Any, executor: Any = None) -> bytes:
        """Canonical JSON; see stage_identity."""
        stage = self._stage
        identity = stage_identity(stage.verb, stage.options, stage.references, self._sources)
        signature = {**identity, "inputs": {name: len(nodes) for name, nodes in stage.inputs.items()}}
        return json.dumps(signature, sort_keys=True).encode()

    def strfunction(self, target: Any, source: Any, env: Any, executor: Any = None) -> str | None:
        """What a dry run prints; a real one prints its own lines."""
        return self._stage.label if env.GetOption("no_exec") else None

    def _execute(self, target: Any, source: Any, env: Any) -> StageError | None:
        stage, journal = self._stage, self._journal
        journal.say(stage.label)
        start = time.monotonic()
        environment = {**os.environ, BUILD_PROCESS: str(os.getpid())}
        status = subprocess.run(stage.command(), env=environment, check=False).returncode
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
