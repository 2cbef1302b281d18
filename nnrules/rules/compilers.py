"""What a toolchain's programs are told; no path of this machine is among it."""

import os
import re
from functools import cache, cached_property
from pathlib import Path

import msgspec

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain, load_toolchain, toolchain_path
from nnrules.error import UserError

HOST = "x86-64"
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_INCLUDE = re.compile(r'\bINCLUDE\s+("[^"]+"|[^\s;"]+)')


class Compiler(msgspec.Struct, frozen=True, dict=True):
    """`extra` flags go to compiler and linker; `top`, `build`: folders whose names must not show in debug information,
    the project's and, from there, the build's."""

    toolchain: Toolchain
    top: Path
    build: Path
    extra: tuple[str, ...] = ()

    @property
    def program(self) -> str:
        """The compiler driver."""
        return self.toolchain.compiler.command

    @property
    def cflags(self) -> tuple[str, ...]:
        """The compiler's flags."""
        return (*self.toolchain.compiler.cflags, *self.extra)

    @property
    def linkflags(self) -> tuple[str, ...]:
        """The linker's flags, with the sizes of the memory for its script."""
        return (*self.toolchain.linkflags, *self.extra)

    @property
    def script(self) -> tuple[str, ...]:
        """Where the linker finds its script; a name alone would be looked for in the project's top folder first."""
        name = self.toolchain.firmware.linker_script
        return ("-L", str(TOOLCHAINS), "-T", str(TOOLCHAINS / name)) if name else ()

    @cached_property
    def scripts(self) -> list[Path]:
        """The linker script and all that it includes. Raises UserError for what the linker would find elsewhere."""
        name = self.toolchain.firmware.linker_script
        return list(_with_included(name, self.top)) if name else []

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """Flags that give two checkouts, and two build folders, the same debug information. The compiler is given
        names relative to the top folder, where there are such."""
        build, relative = (self.top / self.build).resolve(), os.path.relpath(self.top / self.build, self.top)
        folders = ((TOOLCHAINS.parent, "."), (self.top, "."), (build, "build"), (f"{relative}/", "build/"))
        return tuple(f"-ffile-prefix-map={folder}={name}" for folder, name in folders)


def environment() -> dict[str, str]:
    """What of the user's environment reaches a compiler."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | {"LC_ALL": "C"}


@cache
def _with_included(name: str, top: Path) -> tuple[Path, ...]:
    """A linker script and, each once, those that it includes."""
    found, todo = dict[Path, None](), [TOOLCHAINS / name]
    while todo:
        script = todo.pop(0)
        if script not in found and script.is_file():
            text = _COMMENT.sub(" ", script.read_text(encoding="utf-8", errors="replace"))
            todo += [_included(script, each.strip('"'), top) for each in _INCLUDE.findall(text)]
        found[script] = None
    return tuple(found)


def _included(script: Path, name: str, top: Path) -> Path:
    """The linker looks in the top folder, where it runs, before it looks in toolchains/."""
    path, place = TOOLCHAINS / name, f"{TOOLCHAINS.name}/{os.path.relpath(script, TOOLCHAINS)}"
    if not path.is_file():
        raise UserError(place, f"includes {name}, which is not in toolchains/", "put it there")
    if (top / name).exists() and not path.samefile(top / name):
        raise UserError(place, f"includes {name}, which is in the project's top folder too", "rename one of them")
    return path


@cache
def host_toolchain() -> Toolchain:
    """The compiler that checks every target's C on this machine."""
    return load_toolchain(toolchain_path(HOST))
