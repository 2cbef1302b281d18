"""The outputs of a build that was killed.

SCons writes its database when a build ends. After a SIGKILL the database is older than the files, and would call a file
current whose inputs went back to what they were. So each output is written down here before it is made; whatever is
still written down when a build starts is removed, and comes back from the cache or is made again.
"""

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any


class Unsaved:
    """`file`: the list, one path a line, in the build's folder, where all of them are. Only the holder of the folder's
    lock may use it."""

    def __init__(self, file: Path) -> None:
        self._file, self._folder = file, file.parent.resolve()
        self._lock = threading.Lock()

    def clear(self) -> int:
        """Remove what a killed build left, half-made files too; how many whole ones there were."""
        if not self._file.exists():
            return 0
        lines = self._file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        paths = [Path(line) for line in lines if line and "\0" not in line]
        there = [path for path in paths if path.parent.resolve().is_relative_to(self._folder) and path.is_file()]
        for path in there:
            path.unlink()
        for path in paths:
            partial = path.with_name(f".{path.name}.partial")
            if partial.parent.resolve().is_relative_to(self._folder) and partial.is_file():
                partial.unlink()
        self._file.unlink()
        return len(there)

    def add(self, nodes: Iterable[Any]) -> None:
        """These outputs are about to be made."""
        text = "".join(f"{node}\n" for node in nodes)
        with self._lock, self._file.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)

    def saved(self) -> None:
        """The database has been written."""
        self._file.unlink(missing_ok=True)
