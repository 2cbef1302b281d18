"""The outputs of a build that was killed.

SCons writes its database when a build ends. After a SIGKILL the database is older than the files, and would call a file
current whose inputs went back to what they were. So each output is written down here before it is made; whatever is
still written down when a build starts is removed, and comes back from the cache or is made again, as is everything that
depends on it.
"""

import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import SCons.SConsign


class Unsaved:
    """`file`: the list, one path a line, in the build's folder, where all of them are. Only the holder of the folder's
    lock may change it. `lost`: the paths that it had at first."""

    def __init__(self, file: Path) -> None:
        self._file, self._folder = file, file.parent.resolve()
        self._lock = threading.Lock()
        self._added: set[str] = set()
        self._database: tuple[int, int] | None = None
        self.lost = self._read()

    def clear(self) -> int:
        """Remove what a killed build left, half-made files too; how many whole ones there were."""
        paths = [Path(line) for line in self.lost]
        there = [path for path in paths if path.is_file()]
        for path in there:
            path.unlink()
        for path in paths:
            partial = path.with_name(f".{path.name}.partial")
            if partial.is_file():
                partial.unlink()
        return len(there)

    def add(self, nodes: Iterable[Any]) -> None:
        """These outputs are about to be made."""
        names = [str(node) for node in nodes]
        with self._lock, self._file.open("a", encoding="utf-8", errors="surrogateescape") as file:
            if not self._added:
                self._database = _database()
            file.write("".join(f"{name}\n" for name in names))
            self._added.update(names)

    def saved(self, visited: Collection[str]) -> None:
        """The build is over: forget what it made, if the database was written, and of what was lost the `visited`."""
        if self._added and self._database is not None and _database() == self._database:
            return  # SCons could not write
        left = sorted(self.lost - set(visited))
        if left:
            self._file.write_text("".join(f"{name}\n" for name in left), encoding="utf-8", errors="surrogateescape")
        else:
            self._file.unlink(missing_ok=True)

    def _read(self) -> frozenset[str]:
        """The paths that are in the build's folder; others are not of our making."""
        if not self._file.is_file():
            return frozenset()
        lines = self._file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
        return frozenset(line for line in lines if line and "\0" not in line and self._ours(Path(line)))

    def _ours(self, path: Path) -> bool:
        return path.parent.resolve().is_relative_to(self._folder) and not path.is_dir()


def force(node: Any) -> None:
    """Let everything that depends on a node be made again, and what depends on that."""
    node.Decider(_changed)


def _changed(dependency: Any, target: Any, previous: Any, repository: Any = None) -> bool:
    """A decider of SCons: the dependency always counts as changed, and so does the target from now on."""
    target.Decider(_changed)
    return True


def _database() -> tuple[int, int] | None:
    """What tells whether SCons has written its signatures: None where there is no such file yet."""
    file = Path(f"{SCons.SConsign.DB_Name}.dblite")
    if not file.is_file():
        return None
    state = file.stat()
    return state.st_mtime_ns, state.st_ino
