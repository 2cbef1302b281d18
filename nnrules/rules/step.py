"""A step of the build (a stage, a compilation, a link) as an SCons action: signature, cache, failure."""

import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from SCons.Action import FunctionAction

from nnrules.error import UserError
from nnrules.rules.explain import reasons
from nnrules.rules.failure import StageError

if TYPE_CHECKING:
    from nnrules.rules.engine import Engine

USER_ERROR, INTERRUPTED = 2, 130

_encode = msgspec.json.Encoder(order="deterministic").encode


class Step(msgspec.Struct, frozen=True, eq=False, kw_only=True, dict=True):
    """`target` None: the same for all. `inputs`, `outputs`: SCons nodes by name. `names`: digests of the names of input
    files, where these matter; `label`: how the terminal calls it."""

    model: str
    target: str | None
    name: str
    inputs: Mapping[str, list[Any]]
    outputs: Mapping[str, Any]
    names: Mapping[str, str] = {}

    @property
    def label(self) -> str:
        """`[facedet cortex-m7] verify`."""
        return f"[{self.model} {self.target}] {self.name}" if self.target else f"[{self.model}] {self.name}"

    @property
    def first(self) -> Any:
        """The node whose state says how the step went."""
        return next(iter(self.outputs.values()))

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Plain data: what decides the outputs besides the content of the inputs. No path of this machine."""
        inputs = {name: [len(nodes), self.names.get(name, "")] for name, nodes in self.inputs.items()}
        return {**self.describe(), "inputs": inputs}

    @cached_property
    def signature(self) -> str:
        """The identity as canonical JSON, which SCons keeps."""
        return _encode(self.identity).decode()

    def again(self) -> "Step":
        """The same, with nothing remembered of files that may have changed."""
        return msgspec.structs.replace(self)

    def implicit(self, content: Any) -> list[Any]:
        """Nodes that the content of the inputs leads to. `content`: bytes of a node, None where they are not known."""
        return []

    def describe(self) -> dict[str, Any]:
        """The identity without the inputs."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """The process that does it alone, as an argument list."""
        raise NotImplementedError

    def run(self, engine: "Engine") -> int:
        """Do it; the exit status, negative for a signal."""
        raise NotImplementedError


class StepAction(FunctionAction):
    """Takes a step's outputs from the cache or runs it. The signature is the step's own."""

    def __init__(self, step: Step, engine: "Engine") -> None:
        super().__init__(_nothing, {"cmdstr": None})  # which it takes apart for a signature
        self.execfunction = self._execute
        self._step, self._engine = step, engine

    def get_presig(self, target: Any, source: Any, env: Any, executor: Any = None) -> bytes:
        """What SCons compares with the last build, beside the inputs."""
        return self._step.signature.encode()

    def genstring(self, target: Any, source: Any, env: Any, executor: Any = None) -> str:
        """What SCons keeps in its database to explain a change."""
        return self._step.signature

    def _execute(self, target: Any, source: Any, env: Any) -> StageError | None:
        """A step that fails leaves no outputs: SCons would take them for those of the last success."""
        step, engine = self._step, self._engine
        self._tell(target[0])
        engine.unsaved.add(step.outputs.values())
        files = {name: Path(str(node)) for name, node in step.outputs.items()}
        status = 1
        try:
            status = self._make(files)
        finally:
            if status != 0:
                for file in files.values():
                    file.unlink(missing_ok=True)
        if status == 0:
            return None
        if status != INTERRUPTED and not engine.processes.interrupted:
            engine.terminal.say(engine.repeat(step, status))
        return StageError(node=target, errstr=step.label, status=2, exitstatus=2)

    def _make(self, files: Mapping[str, Path]) -> int:
        """Take the outputs from the cache, or run and store; the status."""
        step, engine = self._step, self._engine
        start, key = time.monotonic(), engine.keys.of(step)
        if engine.restore(key, files):
            engine.journal.cached(step, key, time.monotonic() - start)
            return 0
        start = time.monotonic()
        status = step.run(engine)
        seconds = time.monotonic() - start
        if status == 0 and (changed := engine.changed(step, key)):
            engine.terminal.error(str(UserError(step.label, f"{changed} while it ran", "build again")))
            status = USER_ERROR
        engine.journal.ran(step, key, seconds, status == 0)
        if status == 0:
            engine.store(key, files, seconds)
        return status

    def _tell(self, target: Any) -> None:
        """What the options of the command line ask to be told before a step."""
        step, engine = self._step, self._engine
        if engine.wishes.explain:
            why = reasons(step, target.children(), engine.prints)
            engine.terminal.say(f"{step.label} because {'; '.join(why)}")
        if engine.wishes.commands:
            engine.terminal.say(engine.repeat(step))


def _nothing(target: Any, source: Any, env: Any) -> None:
    """Quickly taken apart."""
