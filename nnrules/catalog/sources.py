"""The first-party Python a stage depends on, as one hash.

Modules are parsed and followed through their imports, those inside functions too; comments, docstrings, layout and
paths do not count. Facts about a file are remembered on disk by path, time of change and size: an unchanged file is not
parsed again.
"""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from nnrules.catalog.memory import Memory
from nnrules.catalog.syntax import Import, digest_and_imports
from nnrules.error import UserError

_TOP = Path(__file__).resolve().parents[2]
# Of the remembered facts; raised when other ones are found in the same file. A file may parse on one Python only.
_FORMAT = 400 + sys.version_info.minor
_APART = _TOP / "nnrules/catalog/stages.py"  # options and versions enter a stage's signature by value


def reference_file(text: str) -> tuple[Path, str]:
    """("path.py", "Class") of "path.py:Class". Raises UserError where it is spelt otherwise."""
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise UserError(text, "is not a reference to a class", 'write it like "network.py:Net"')
    return Path(path), name


class Sources:
    """Digests and imports of Python files. `memory`: where they are remembered between processes, None: nowhere."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = Memory(memory, _FORMAT)
        self._facts: dict[Path, tuple[str, tuple[Import, ...]]] = {}
        self._files: dict[tuple[Path, tuple[Path, ...]], tuple[Path, ...]] = {}
        self._prints: dict[tuple[Path, ...], str] = {}
        self.members: dict[str, dict[str, str]] = {}

    def fingerprint(self, roots: Iterable[Path]) -> str:
        """SHA-256 over `roots` and every first-party module they import; `members` then has the digest of each of them.

        Raises UserError where a root is missing.
        """
        given = tuple(roots)
        if given not in self._prints:
            digests = self._reached([path.resolve() for path in given])
            found = hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest()
            self._prints[given] = found
            self.members[found] = {_name(path): digest for path, digest in digests.items()}
        return self._prints[given]

    def save(self) -> None:
        """Write what was learnt to disk."""
        self._memory.save()

    def _reached(self, starts: list[Path]) -> dict[Path, str]:
        """The digest of every file that an import leads to."""
        folders = tuple(dict.fromkeys([*(path.parent for path in starts if not _shipped(path)), Path.cwd()]))
        waiting, digests = list(starts), dict[Path, str]()
        while waiting:
            path = waiting.pop()
            if path in digests or path == _APART:
                continue
            digests[path] = self._read(path)[0]
            waiting.extend(self._imported(path, (_TOP,) if _shipped(path) else (*folders, _TOP)))
        return digests

    def _read(self, path: Path) -> tuple[str, tuple[Import, ...]]:
        """The digest and the imports of one file."""
        if path not in self._facts:
            try:
                digest, imports = self._memory.fact(path, digest_and_imports)
            except FileNotFoundError:
                raise UserError(str(path), "there is no such file", "create it or correct the name") from None
            self._facts[path] = digest, tuple((level, module, tuple(names)) for level, module, names in imports)
        return self._facts[path]

    def _imported(self, path: Path, bases: tuple[Path, ...]) -> tuple[Path, ...]:
        """The first-party files that a file's import statements run."""
        if (path, bases) not in self._files:
            found = {file for each in self._read(path)[1] for file in _locate(each, path, bases)}
            self._files[path, bases] = tuple(sorted(found))
        return self._files[path, bases]


def _locate(imported: Import, importer: Path, bases: tuple[Path, ...]) -> list[Path]:
    """The files of one import statement: `nnrules` from the package, others from the user's folders."""
    level, module, names = imported
    if level:
        bases = (importer.parents[level - 1],)
    elif module.partition(".")[0] == "nnrules":
        bases = (_TOP,)
    elif bases == (_TOP,):
        return []
    candidates = (module, *(f"{module}.{name}" for name in names))
    found = ([file for name in candidates for file in _module_files(base, name)] for base in bases)
    return next(filter(None, found), [])


def _module_files(base: Path, module: str) -> list[Path]:
    """`a.py`, `a/__init__.py`, `a/b.py` and `a/b/__init__.py` of module `a.b` under `base`, as far as they exist."""
    parts = [part for part in module.split(".") if part]
    stems = [base.joinpath(*parts[: n + 1]) for n in range(len(parts))]
    files = [file for stem in stems for file in (stem.with_name(stem.name + ".py"), stem / "__init__.py")]
    return [file for file in files if file.is_file()]


def _shipped(path: Path) -> bool:
    return path.is_relative_to(_TOP / "nnrules")


def _name(path: Path) -> str:
    """How a file is called wherever the checkout lies."""
    for base in (_TOP, Path.cwd()):
        if path.is_relative_to(base):
            return str(path.relative_to(base))
    return path.name
