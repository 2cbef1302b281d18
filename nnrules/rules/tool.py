"""Compiling and linking: steps that run a toolchain's own programs, without a shell, into files that appear whole."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SCons.Scanner import Base
from SCons.Tool import CScanner

from nnrules.catalog.toolchain import Toolchain
from nnrules.error import UserError
from nnrules.rules.keys import Content
from nnrules.rules.step import Step

if TYPE_CHECKING:
    from nnrules.rules.engine import Engine

NO_SCANNER = Base(function=lambda node, env, path: [], name="nothing")  # all that is included is an input
_OVERFLOW = re.compile(r"region `(\w+)' overflowed by (\d+) bytes")


class Tool(Step, frozen=True, eq=False, kw_only=True):
    """`program`: the compiler driver; `flags`: what it is told, without paths; `places`: flags with paths, which do not
    change the output; `tools`: versions by program."""

    program: str
    flags: tuple[str, ...]
    places: tuple[str, ...]
    tools: Mapping[str, str]
    environment: Mapping[str, str]

    def describe(self) -> dict[str, Any]:
        """Program, flags, versions."""
        step = type(self).__name__.lower()
        return {"stage": step, "program": self.program, "flags": list(self.flags), "tools": dict(self.tools)}

    def command(self) -> list[str]:
        """The process, writing to the final name."""
        return self._command(str(self.first))

    def run(self, engine: "Engine") -> int:
        """Write to a temporary name, then move."""
        final = Path(str(self.first))
        partial = final.with_name(f".{final.name}.partial")
        final.parent.mkdir(parents=True, exist_ok=True)
        done = engine.processes.run(self._command(str(partial)), env=self.environment)
        text = done.stderr if done.status == 0 else self.blame(done.stderr)
        if text:
            engine.terminal.error(text.rstrip("\n"))
        if done.status == 0:
            os.replace(partial, final)
        else:
            partial.unlink(missing_ok=True)
        return done.status

    def blame(self, text: str) -> str:
        """What to show of a failure's text."""
        return text

    def _command(self, output: str) -> list[str]:
        raise NotImplementedError


class Compile(Tool, frozen=True, eq=False, kw_only=True):
    """Input `source`: one C file; others: headers that are not to be scanned for. `include`: folders as SCons nodes."""

    include: tuple[Any, ...] = ()
    scan: bool = True

    def implicit(self, content: Content) -> list[Any]:
        """The headers that the source includes, those that are there."""
        if not self.scan:
            return []
        (source,) = self.inputs["source"]
        return list(source.get_implicit_deps(source.get_env(), CScanner, lambda scanner: self.include))

    def _command(self, output: str) -> list[str]:
        (source,) = self.inputs["source"]
        include = [f"-I{folder}" for folder in self.include]
        return [self.program, *self.flags, *self.places, *include, "-c", "-o", output, str(source)]


class Link(Tool, frozen=True, eq=False, kw_only=True):
    """Inputs: `objects`, and whatever must be there before. `toolchain`: whose memory must hold it."""

    toolchain: Toolchain

    def blame(self, text: str) -> str:
        """One line where the memory is too small."""
        overflows = _OVERFLOW.findall(text)
        return str(self._too_large(dict(overflows))) if overflows else text

    def _command(self, output: str) -> list[str]:
        objects = [str(node) for node in self.inputs["objects"]]
        return [self.program, *self.flags, "-o", output, *objects, *self.places]

    def _too_large(self, overflows: Mapping[str, str]) -> UserError:
        sizes = {"RAM": self.toolchain.ram, "FLASH": self.toolchain.flash}
        parts = []
        for name, more in overflows.items():
            size = sizes.get(name)
            there_is = "the linker script gives" if size is None else f"the target's {size:,}"
            parts.append(f"{int(more):,} bytes more {name} than {there_is}")
        cure = "shrink the model or its application, or choose a larger target"
        return UserError(str(self.first), f"needs {' and '.join(parts)}", cure)
