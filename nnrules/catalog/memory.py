"""What was found out about files, kept on disk between processes: a fact holds while the file's stamp does."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
        stamp = [state.st_mtime_ns, state.st_size]
        kept = self._facts.get(str(path))
        if kept is None or kept[0] != stamp:
            kept = self._facts[str(path)] = [stamp, find(path)]
            self._learnt = True
        return kept[1]

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
