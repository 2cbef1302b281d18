"""The first-party Python a stage depends on, as one hash.

Modules are parsed and followed through their imports, those inside functions too; comments, docstrings, layout and
paths do not count. Facts about a file are remembered on disk by path and stamp: an unchanged file is not parsed again.
"""

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from nnrules.catalog.memory import Memory
from nnrules.catalog.syntax import Import, digest_and_imports
from nnrules.error import UserError

REMEMBERED = Path(".nnrules/sources.json")  # where a build remembers them
_TOP = str(Path(__file__).resolve().parents[2])
_PACKAGE = f"{_TOP}/nnrules/"
# Of the remembered facts; raised when other ones are found in the same file. A file may parse on one Python only.
_FORMAT = 500 + sys.version_info.minor
_APART = f"{_PACKAGE}catalog/stages.py"  # options and versions enter a stage's signature by value

Bases = tuple[str, ...]
_NOT_OUTSIDE = frozenset({*sys.stdlib_module_names, "nnrules", "__future__"})


def reference_file(text: str) -> tuple[Path, str]:
    """("path.py", "Class") of "path.py:Class". Raises UserError where it is spelt otherwise."""
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise UserError(text, "is not a reference to a class", 'write it like "network.py:Net"')
    return Path(path), name


class Sources:
    """Digests and imports of Python files. `memory`: where they are remembered between processes, None: nowhere."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory: Memory[tuple[str, list[Import]]] = Memory(memory, _FORMAT, tuple[str, list[Import]])
        self._facts: dict[str, tuple[str, tuple[Import, ...]]] = {}
        self._imports: dict[tuple[str, Bases], tuple[str, ...]] = {}
        self._shipped: dict[str, frozenset[str]] = {}
        self._prints: dict[tuple[Path, ...], tuple[str, set[str]]] = {}
        self._reach: dict[str, dict[str, str]] = {}
        self._outside: dict[tuple[str, Bases], set[str]] = {}
        self._members: dict[str, dict[str, str]] = {}

    def again(self) -> "Sources":
        """The same with nothing remembered that a change of a file would not show."""
        fresh = Sources()
        fresh._memory = self._memory
        return fresh

    def fingerprint(self, roots: Iterable[Path]) -> str:
        """SHA-256 over `roots` and every first-party module they import. Raises UserError where a root is missing."""
        return self._print(tuple(roots))[0]

    def outside(self, roots: Iterable[Path]) -> set[str]:
        """The modules, by their first name, that the user's files among these import from elsewhere."""
        return self._print(tuple(roots))[1]

    def reached(self, roots: Iterable[Path]) -> set[str]:
        """The files of a fingerprint, by their real paths."""
        return set(self._reach[self.fingerprint(roots)])

    def _print(self, given: tuple[Path, ...]) -> tuple[str, set[str]]:
        if given not in self._prints:
            starts = [_resolved(str(path.absolute())) for path in given]
            own = dict.fromkeys(path.rpartition("/")[0] for path in starts if not path.startswith(_PACKAGE))
            bases = (*own, *_search_path())
            files = self._reached(starts, bases)
            named = {path: _name(path, bases) for path in files}
            text = "".join(sorted(f"{name} {self._read(path)[0]}\n" for path, name in named.items()))
            found = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
            self._reach[found] = named
            users = [path for path in files if not path.startswith(_PACKAGE)]
            self._prints[given] = found, {name for path in users for name in self._outside[path, bases]}
        return self._prints[given]

    def members(self) -> Mapping[str, Mapping[str, str]]:
        """Of each fingerprint so far, its files, named as in every checkout, with their digests."""
        for found in self._reach.keys() - self._members.keys():
            self._members[found] = {_told(path): self._facts[path][0] for path in sorted(self._reach[found])}
        return self._members

    def save(self) -> None:
        """Write what was learnt to disk."""
        self._memory.save()

    def _reached(self, roots: list[str], bases: Bases) -> set[str]:
        """Every file that an import leads to, the roots too."""
        found, waiting = set[str](), list(roots)
        while waiting:
            path = waiting.pop()
            if path.startswith(_PACKAGE):
                found |= self._within(path)
            elif path not in found:
                found.add(path)
                waiting.extend(self._imported(path, bases))
        return found

    def _within(self, root: str) -> frozenset[str]:
        """The same for a file of nnrules, whose imports lead to nothing but nnrules."""
        if root not in self._shipped:
            found, waiting = set[str](), [root]
            while waiting:
                path = waiting.pop()
                if path not in found and path != _APART:
                    found.add(path)
                    waiting.extend(self._imported(path, (_TOP,)))
            self._shipped[root] = frozenset(found)
        return self._shipped[root]

    def _read(self, path: str) -> tuple[str, tuple[Import, ...]]:
        """The digest and the imports of one file."""
        if path not in self._facts:
            try:
                digest, imports = self._memory.fact(Path(path), digest_and_imports)
            except FileNotFoundError:
                raise UserError(path, "there is no such file", "create it or correct the name") from None
            self._facts[path] = digest, tuple((level, module, tuple(names)) for level, module, names in imports)
        return self._facts[path]

    def _imported(self, path: str, bases: Bases) -> tuple[str, ...]:
        """The first-party files that a file's import statements run."""
        if (path, bases) not in self._imports:
            located = [(each, _locate(each, path, bases)) for each in self._read(path)[1]]
            self._imports[path, bases] = tuple(sorted({_resolved(file) for _, files in located for file in files}))
            self._outside[path, bases] = {
                first
                for (level, module, _), files in located
                if level == 0 and not files and (first := module.partition(".")[0]) not in _NOT_OUTSIDE
            }
        return self._imports[path, bases]


def _locate(imported: Import, importer: str, bases: Bases) -> list[str]:
    """The files of one import statement: `nnrules` from the package, others from the user's folders."""
    level, module, names = imported
    if level:
        bases = (importer.rsplit("/", level)[0],)
    elif module.partition(".")[0] == "nnrules":
        bases = (_TOP,)
    elif bases == (_TOP,):
        return []
    candidates = (module, *(f"{module}.{name}" for name in names))
    found = ([file for name in candidates for file in _module_files(base, name)] for base in bases)
    return next(filter(None, found), [])


def _module_files(base: str, module: str) -> list[str]:
    """`a.py`, `a/__init__.py`, `a/b.py` and `a/b/__init__.py` of module `a.b` under `base`, as far as they exist."""
    if base == _TOP and module.partition(".")[0] == "nnrules":
        return _shipped_files(module)
    return [file for file in _candidates(base, module) if Path(file).is_file()]


@cache
def _shipped_files(module: str) -> list[str]:
    return [file for file in _candidates(_TOP, module) if file in _package_files()]


def _candidates(base: str, module: str) -> list[str]:
    parts = [part for part in module.split(".") if part]
    stems = ["/".join([base, *parts[: n + 1]]) for n in range(len(parts))]
    return [file for stem in stems for file in (f"{stem}.py", f"{stem}/__init__.py")]


@cache
def _package_files() -> frozenset[str]:
    """All files of nnrules: asking for each of the thousand that an import may mean takes longer."""
    return frozenset(f"{folder}/{name}" for folder, _, names in os.walk(_PACKAGE.rstrip("/")) for name in names)


@cache
def _resolved(path: str) -> str:
    return os.path.realpath(path)


def _search_path() -> Bases:
    """Where the user's own modules may be besides beside each other: the project's top, and PYTHONPATH."""
    given = [str(Path(each).resolve()) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]
    return (str(Path.cwd()), *(each for each in given if each != _TOP))


def _name(path: str, bases: Bases) -> str:
    """How a module is called wherever the checkout lies."""
    if path.startswith(_PACKAGE):
        return path.removeprefix(f"{_TOP}/")
    return _below(path, bases) or path.rpartition("/")[2]


def _told(path: str) -> str:
    """What a reader calls a file."""
    return _below(path, (_TOP, str(Path.cwd()))) or path


def _below(path: str, bases: Bases) -> str:
    """The path from the first of these folders that holds it; empty for none."""
    return next((path.removeprefix(f"{base}/") for base in bases if path.startswith(f"{base}/")), "")
