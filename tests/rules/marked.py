"""The processes of one build, found by a mark in their environment; Linux only."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

COMPILERS = ("gcc", "cc1", "as", "collect2", "ld")


@dataclass(frozen=True)
class Process:
    """As /proc tells it: `kind` is scons, server, stage, compiler or other."""

    id: int
    parent: int
    command: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What it is to the build; a stage and its own children have the server's command line."""
        name = Path(self.command[0]).name.rpartition("-")[2] if self.command else ""
        if name in COMPILERS:
            return "compiler"
        if "SCons" in self.command:
            return "scons"
        if "nnrules.stages.server" in self.command:
            parent = read(self.parent)
            return "server" if parent is None or "SCons" in parent.command else "stage"
        return "other"

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        with suppress(ProcessLookupError):
            os.kill(self.id, number)


def read(process: int) -> Process | None:
    """A process that has not ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        command = Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return None if fields["State"].startswith(("Z", "X")) else Process(process, int(fields["PPid"]), tuple(command))


def marked(mark: str) -> list[Process]:
    """All that run with `mark` somewhere in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "environ").read_bytes() and (process := read(int(folder.name))):
                found.append(process)
    return found


def wait_for(condition: Callable[[], object], seconds: float) -> None:
    """Return when something is so. Raises TimeoutError when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)
