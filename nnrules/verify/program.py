"""Runs a compiled program, natively or under an emulator, in a fresh directory, and says clearly how it failed."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nnrules.error import UserError

SHOWN_LINES = 30
TELLING = ("runtime error:", "ERROR: AddressSanitizer", "nn:error")


@dataclass(frozen=True)
class Finished:
    """What a program left: its standard output, and the wanted files by name."""

    console: str
    files: dict[str, bytes]


@dataclass(frozen=True)
class Program:
    """A program file and the command that runs it: "{elf}" in an argument stands for the file."""

    name: str
    elf: Path
    command: tuple[str, ...] = ("{elf}",)
    timeout: float = 600.0

    def run(self, inputs: Mapping[str, bytes], wanted: Sequence[str] = ()) -> Finished:
        """Run once beside the given input files, and read back the wanted ones.

        Raises UserError when the command is missing, takes longer than the timeout (seconds), ends with another
        status than 0 (a sanitizer's report, a crash), or leaves a wanted file out; the telling lines go to stderr.
        """
        arguments = [part.replace("{elf}", str(self.elf.resolve())) for part in self.command]
        with tempfile.TemporaryDirectory(prefix="nnrules-") as folder:
            for name, data in inputs.items():
                (Path(folder) / name).write_bytes(data)
            done = self._execute(arguments, folder)
            if done.returncode != 0:
                self._fail(_ending(done.returncode), done)
            missing = [name for name in wanted if not (Path(folder) / name).is_file()]
            if missing:
                self._fail(f"ended without writing {missing[0]}", done)
            files = {name: (Path(folder) / name).read_bytes() for name in wanted}
        return Finished(done.stdout, files)

    def _execute(self, arguments: list[str], folder: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False,
                timeout=self.timeout, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except FileNotFoundError:
            raise UserError(self.name, f"cannot start '{arguments[0]}'", "install it, or put it on PATH") from None
        except subprocess.TimeoutExpired:
            fault = f"{self.elf.name} did not end within {self.timeout:g} s"
            raise UserError(self.name, fault, "it hangs, or needs a longer 'timeout'") from None

    def _fail(self, ending: str, done: subprocess.CompletedProcess[str]) -> None:
        lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()] or ["no output"]
        telling = [index for index, line in enumerate(lines) if any(mark in line for mark in TELLING)]
        shown = lines[telling[0] :][:SHOWN_LINES] if telling else lines[-SHOWN_LINES:]
        sys.stderr.write("".join(f"{line}\n" for line in shown))
        fault = f"{self.elf.name} {ending}: {(shown[0] if telling else shown[-1]).strip()}"
        raise UserError(self.name, fault, "the lines above tell more")


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    return f"was killed by {signal.Signals(-status).name}"
