"""Compiling and linking: steps that run a toolchain's own programs, without a shell, into files that appear whole."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from SCons.Scanner import Base
from SCons.Tool import CScanner

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain
from nnrules.error import UserError
from nnrules.rules.keys import Content, read
from nnrules.rules.step import USER_ERROR, Step

if TYPE_CHECKING:
    from nnrules.rules.engine import Engine

NO_SCANNER = Base(function=lambda node, env, path: [], name="nothing")  # all that is included is an input
_DEPENDENCY = re.compile(r"(?:\\[ #]|\S)+")  # a name in a makefile, spaces escaped
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
        done = engine.processes.run([*self._command(str(partial)), *self.watching(partial)], env=self.environment)
        status, text = done.status, done.stderr if done.status == 0 else self.blame(done.stderr)
        if status == 0 and (fault := self.unseen(partial)):
            status, text = USER_ERROR, str(fault)
        if text:
            engine.terminal.error(text.rstrip("\n"))
        if status == 0:
            os.replace(partial, final)
        for file in (partial, _watched(partial)):
            file.unlink(missing_ok=True)
        return status

    def blame(self, text: str) -> str:
        """What to show of a failure's text."""
        return text

    def watching(self, partial: Path) -> list[str]:
        """Flags that let the program tell what it reads; they do not change the output."""
        return []

    def unseen(self, partial: Path) -> UserError | None:
        """What a success read that does not count as an input."""
        return None

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

    def watching(self, partial: Path) -> list[str]:
        """The headers, but for the compiler's own and the system's."""
        return ["-MMD", "-MT", "object", "-MF", str(_watched(partial))]

    def unseen(self, partial: Path) -> UserError | None:
        """A header of the project's or of toolchains/ that the scanner did not find."""
        known = {Path(node.get_abspath()).resolve() for nodes in self.inputs.values() for node in nodes}
        known |= {Path(node.get_abspath()).resolve() for node in self.implicit(read)}
        (source,) = self.inputs["source"]
        for path in _dependencies(_watched(partial)):
            if path.resolve() not in known and any(map(path.is_relative_to, (Path.cwd(), TOOLCHAINS))):
                told = os.path.relpath(path)
                fault = f"includes {told} in a way that cannot be seen beforehand"
                return UserError(str(source), fault, "write its name in the #include")
        return None

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


def _watched(partial: Path) -> Path:
    """Where a compiler writes what it read."""
    return partial.with_suffix(".d.partial")


def _dependencies(file: Path) -> list[Path]:
    """The files that a makefile's one rule names."""
    rule = file.read_text(encoding="utf-8", errors="surrogateescape").replace("\\\n", " ")
    names = _DEPENDENCY.findall(rule.partition(":")[2])
    return [Path(os.path.normpath(Path.cwd() / re.sub(r"\\([ #])", r"\1", name).replace("$$", "$"))) for name in names]
