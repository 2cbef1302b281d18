"""What was found out about files, kept on disk between processes: a fact holds while the file's stamp does.

A file that has just changed is not remembered: it may change again before the clock of the file system ticks.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

Fact = TypeVar("Fact")
_Stamp = tuple[int, int, int, int]
_SETTLED = 2 * 10**9  # nanoseconds


class _Known(msgspec.Struct):
    format: int = 0
    facts: msgspec.Raw = msgspec.Raw(b"{}")


class Memory(Generic[Fact]):
    """Facts by path. `file`: where they are kept, None: nowhere; `form`: raised when the facts change; `kind`: their
    type.

    An unreadable file counts as empty. Not to be shared between threads without a lock.
    """

    def __init__(self, file: Path | None, form: int, kind: type[Fact]) -> None:
        self._file, self._form = file, form
        self._facts: dict[str, tuple[_Stamp, Fact]] = _read(file, form, kind)
        self._learnt = False

    def fact(self, path: Path, find: Callable[[Path], Fact]) -> Fact:
        """What `find` says about the file, now or when it last had this stamp. Raises FileNotFoundError."""
        state = path.stat()
        stamp = (state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino)
        kept = self._facts.get(str(path))
        if kept is not None and kept[0] == stamp:
            return kept[1]
        found = find(path)
        if time.time_ns() - state.st_mtime_ns > _SETTLED:
            self._facts[str(path)], self._learnt = (stamp, found), True
        return found

    def save(self) -> None:
        """Write what was learnt to disk."""
        if self._file is None or not self._learnt:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}")
        partial.write_bytes(msgspec.json.encode({"format": self._form, "facts": self._facts}))
        os.replace(partial, self._file)
        self._learnt = False


def _read(file: Path | None, form: int, kind: Any) -> dict[str, Any]:
    try:
        data = file.read_bytes() if file else b"{}"
        known = msgspec.json.decode(data, type=_Known)
        if known.format != form:
            return {}
        return msgspec.json.decode(known.facts, type=dict[str, tuple[_Stamp, kind]])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
