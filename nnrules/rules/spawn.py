"""How SCons runs a compiler or linker of ours: timed; a program too large for its memory is one line."""

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnrules.catalog.toolchain import Toolchain
from nnrules.error import UserError
from nnrules.rules.failure import StageError
from nnrules.rules.journal import Journal

_OVERFLOW = re.compile(r"region `(\w+)' overflowed by (\d+) bytes")


@dataclass(frozen=True)
class Spawn:
    """The construction variable SPAWN of a toolchain's Environment; no part of a signature."""

    toolchain: Toolchain
    journal: Journal

    def __call__(
        self, shell: str, escape: Any, command: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> int:
        """Run `arguments`, which are quoted for the shell. Raises StageError where the linker's memory overflowed."""
        line = " ".join(arguments)
        start = time.monotonic()
        done = subprocess.run([shell, "-c", line], env=dict(environment), stderr=subprocess.PIPE, check=False)
        output = _output(line)
        self.journal.took(output, time.monotonic() - start)
        text = done.stderr.decode(errors="replace")
        overflows = _OVERFLOW.findall(text) if done.returncode else []
        sys.stdout.flush()
        if overflows:
            print(self._too_large(output, dict(overflows)), file=sys.stderr)
            raise StageError(errstr=line, status=2, exitstatus=2)
        sys.stderr.write(text)
        sys.stderr.flush()
        return done.returncode

    def _too_large(self, output: str, overflows: Mapping[str, str]) -> UserError:
        sizes = {"RAM": self.toolchain.ram, "FLASH": self.toolchain.flash}
        parts = []
        for name, more in overflows.items():
            size = sizes.get(name)
            there_is = "the linker script gives" if size is None else f"the target's {size:,}"
            parts.append(f"{int(more):,} bytes more {name} than {there_is}")
        cure = "shrink the model or its application, or choose a larger target"
        return UserError(output, f"needs {' and '.join(parts)}", cure)


def _output(line: str) -> str:
    """The file after `-o`."""
    words = shlex.split(line)
    return words[words.index("-o") + 1]
