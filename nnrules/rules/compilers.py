"""Environments for the C of a model: one for each toolchain, none of them the user's."""

import os
from pathlib import Path
from typing import Any

from SCons.Environment import Environment

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain, load_toolchain, toolchain_path
from nnrules.rules.journal import Journal
from nnrules.rules.spawn import Spawn

HOST = "x86-64"
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def compiler(toolchain: Toolchain, build: Path, journal: Journal, extra: tuple[str, ...] = ()) -> Any:
    """An Environment for one toolchain; `extra` flags go to compiler and linker. No path enters a signature."""
    maps = [f"-ffile-prefix-map={folder}={name}" for folder, name in _prefixes(build)]
    script = toolchain.firmware.linker_script
    return Environment(
        tools=["cc", "link"],
        CC=toolchain.compiler.command,
        LINK=toolchain.compiler.command,
        CCFLAGS=[*toolchain.compiler.cflags, *extra, "$(", *maps, "$)"],
        LINKFLAGS=[*toolchain.linkflags, *extra, *(["-T", script] if script else [])],
        LIBPATH=[str(TOOLCHAINS)] if script else [],
        PROGSUFFIX="",
        SPAWN=Spawn(toolchain, journal),
        CCCOMSTR="compile $TARGET",
        LINKCOMSTR="link $TARGET",
        ENV={name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | {"LC_ALL": "C"},
    )


def host_toolchain() -> Toolchain:
    """The compiler that checks every target's C on this machine."""
    return load_toolchain(toolchain_path(HOST))


def _prefixes(build: Path) -> list[tuple[Path, str]]:
    return [(TOOLCHAINS.parent, "."), (Path.cwd(), "."), (build.resolve(), "build")]
