"""What was found out about files, kept on disk between processes: a fact holds while the file's stamp does.

A file that has just changed is not remembered: it may change again before the clock of the file system ticks.
"""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SETTLED = 2 * 10**9  # nanoseconds


class Memory:
    """Facts by path, each plain JSON. `file`: where they are kept, None: nowhere; `form`: raised when the facts change.

    An unreadable file counts as empty. Not to be shared between threads without a lock.
    """

    def __init__(self, file: Path | None, form: int) -> None:
        self._file, self._form = file, form
        self._facts = _read(file, form)
        self._learnt = False

    def fact(self, path: Path, find: Callable[[Path], Any]) -> Any:
        """What `find` says about the file, now or when it last had this time of change and size.

        Raises FileNotFoundError.
        """
        state = path.stat()
        stamp = [state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino]
        kept = self._facts.get(str(path))
        if isinstance(kept, list) and len(kept) == 2 and kept[0] == stamp:
            return kept[1]
        found = find(path)
        if time.time_ns() - state.st_mtime_ns > _SETTLED:
            self._facts[str(path)], self._learnt = [stamp, found], True
        return found

    def save(self) -> None:
        """Write what was learnt to disk."""
        if self._file is None or not self._learnt:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"format": self._form, "facts": self._facts}), encoding="utf-8")
        os.replace(partial, self._file)
        self._learnt = False


def _read(file: Path | None, form: int) -> dict[str, list[Any]]:
    try:
        known = json.loads(file.read_text(encoding="utf-8")) if file else {}
    except (OSError, ValueError):
        return {}
    facts = known.get("facts") if isinstance(known, dict) and known.get("format") == form else None
    return facts if isinstance(facts, dict) else {}
