"""The versions of the programs outside Python that decide what a step gives: compilers, assemblers, emulators."""

import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any

import msgspec

from nnrules.catalog.memory import Memory
from nnrules.error import UserError

_FORMAT = 2
_ANSWERS: Any = Annotated[list[str], msgspec.Meta(min_length=1)]  # see _ask_all


class Tools:
    """Asks each program once; `memory`: a file that remembers the answers until the program changes, None: none."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory: Memory[list[str]] = Memory(memory, _FORMAT, _ANSWERS)
        self._known: dict[str, str] = {}
        self._compilers: dict[str, dict[str, str]] = {}

    def version(self, command: str) -> str:
        """What `command --version` says first, of a compiler with its machine. Raises UserError where there is none."""
        if command not in self._known:
            found = shutil.which(command)
            if found is None:
                raise UserError(command, "is not installed", "install it, or choose another target or model")
            self._known[command] = self._memory.fact(Path(found), _ask_all)[0]
        return self._known[command]

    def compiler(self, command: str) -> dict[str, str]:
        """The versions of a compiler, and of the assembler and linker that it calls."""
        if command not in self._compilers:
            versions = {command: self.version(command)}
            parts = self._memory.fact(Path(shutil.which(command) or command), _ask_all)[1:]
            self._compilers[command] = versions | {Path(name).name: self.version(name) for name in parts}
        return self._compilers[command]

    def save(self) -> None:
        """Write the memory to disk."""
        self._memory.save()


def _ask_all(program: Path) -> list[str]:
    """The version, then names or paths of the assembler and the linker, as far as the program can tell."""
    version = _ask(program, "--version").partition("\n")[0]
    if not _compiles(program):
        return [version]
    machine = _ask(program, "-dumpmachine").strip()  # one line is said by compilers for different machines
    parts = [_ask(program, f"-print-prog-name={part}").strip() for part in ("as", "ld")]
    return [f"{version} for {machine}", *(name for name in parts if name and shutil.which(name))]


def _compiles(program: Path) -> bool:
    return any(word in program.name for word in ("gcc", "g++", "cc", "clang"))


def _ask(program: Path, question: str) -> str:
    done = subprocess.run(
        [str(program), question], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    return done.stdout
