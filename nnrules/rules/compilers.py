"""What a toolchain's programs are told; no path of this machine is among it."""

import os
from functools import cache, cached_property
from pathlib import Path

import msgspec

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain, load_toolchain, toolchain_path

HOST = "x86-64"
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


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
        """Where the linker finds its script."""
        name = self.toolchain.firmware.linker_script
        return ("-L", str(TOOLCHAINS), "-T", name) if name else ()

    @cached_property
    def scripts(self) -> list[Path]:
        """The linker script and, where it includes others, all that it may mean."""
        name = self.toolchain.firmware.linker_script
        if name is None:
            return []
        script = TOOLCHAINS / name
        includes = script.is_file() and "INCLUDE" in script.read_text(encoding="utf-8")
        return sorted(script.parent.glob("*.ld")) if includes else [script]

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """Flags that give two checkouts the same debug information."""
        folders = ((TOOLCHAINS.parent, "."), (self.top, "."), ((self.top / self.build).resolve(), "build"))
        return tuple(f"-ffile-prefix-map={folder}={name}" for folder, name in folders)


def environment() -> dict[str, str]:
    """What of the user's environment reaches a compiler."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | {"LC_ALL": "C"}


@cache
def host_toolchain() -> Toolchain:
    """The compiler that checks every target's C on this machine."""
    return load_toolchain(toolchain_path(HOST))
