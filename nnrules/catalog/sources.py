"""The first-party Python a stage depends on, as one hash.

Modules are parsed and followed through their imports, those inside functions too; comments, docstrings, layout and
paths do not count. Facts about a file are remembered on disk by path, time of change and size: an unchanged file is not
parsed again.
"""

import ast
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from nnrules.error import UserError

_TOP = Path(__file__).resolve().parents[2]
_FORMAT = 2  # of the remembered facts; raised when _parse finds other ones in the same file
_TYPING = ("TYPE_CHECKING", "typing.TYPE_CHECKING")
_APART = _TOP / "nnrules/catalog/stages.py"  # options and versions enter a stage's signature by value

Import = tuple[int, str, tuple[str, ...]]  # level (dots), module, names


def reference_file(text: str) -> tuple[Path, str]:
    """("path.py", "Class") of "path.py:Class". Raises UserError where it is spelt otherwise."""
    path, colon, name = text.rpartition(":")
    if not colon or not path.endswith(".py") or not name.isidentifier():
        raise UserError(text, "is not a reference to a class", 'write it like "network.py:Net"')
    return Path(path), name


class Sources:
    """Digests and imports of Python files. `memory`: where they are remembered between processes, None: nowhere."""

    def __init__(self, memory: Path | None = None) -> None:
        self._memory = memory
        self._kept = _read_memory(memory)
        self._facts: dict[Path, tuple[str, tuple[Import, ...]]] = {}
        self._files: dict[tuple[Path, tuple[Path, ...]], tuple[Path, ...]] = {}
        self._learnt = False

    def fingerprint(self, roots: Iterable[Path]) -> str:
        """SHA-256 over `roots` and every first-party module they import. Raises UserError where a root is missing."""
        starts = [path.resolve() for path in roots]
        folders = tuple(dict.fromkeys([*(path.parent for path in starts if not _shipped(path)), Path.cwd()]))
        waiting, digests = list(starts), dict[Path, str]()
        while waiting:
            path = waiting.pop()
            if path in digests or path == _APART:
                continue
            digests[path] = self._read(path)[0]
            waiting.extend(self._imported(path, (_TOP,) if _shipped(path) else (*folders, _TOP)))
        return hashlib.sha256("".join(sorted(digests.values())).encode()).hexdigest()

    def save(self) -> None:
        """Write what was learnt to disk."""
        if self._memory is None or not self._learnt:
            return
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        partial = self._memory.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({"format": _FORMAT, "files": self._kept}), encoding="utf-8")
        os.replace(partial, self._memory)
        self._learnt = False

    def _read(self, path: Path) -> tuple[str, tuple[Import, ...]]:
        """The digest and the imports of one file."""
        if path not in self._facts:
            try:
                state = path.stat()
            except FileNotFoundError:
                raise UserError(str(path), "there is no such file", "create it or correct the name") from None
            stamp = [state.st_mtime_ns, state.st_size]
            kept = self._kept.get(str(path))
            if kept is None or kept[0] != stamp:
                digest, imports = _parse(path)
                kept = self._kept[str(path)] = [stamp, digest, imports]
                self._learnt = True
            self._facts[path] = kept[1], tuple((level, module, tuple(names)) for level, module, names in kept[2])
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


def _read_memory(memory: Path | None) -> dict[str, list[Any]]:
    """What an earlier process learnt: path -> [[time of change, size], digest, imports]."""
    try:
        known = json.loads(memory.read_text(encoding="utf-8")) if memory else {}
    except (FileNotFoundError, ValueError):
        return {}
    return cast("dict[str, list[Any]]", known["files"]) if known.get("format") == _FORMAT else {}


def _parse(path: Path) -> tuple[str, list[Import]]:
    """Digest and imports of a file; one that does not parse counts by its bytes (the stage will say what is wrong)."""
    text = path.read_bytes()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return hashlib.sha256(text).hexdigest(), []
    digest = hashlib.sha256(path.stem.encode())
    for token in _tokens(tree):
        digest.update(token.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest(), list(_imports(tree))


def _tokens(node: ast.AST) -> Iterator[str]:
    """The tree as text. Empty fields are left out: newer Pythons add some, and the digest must not depend on that."""
    yield f"({type(node).__name__}"
    for name, value in ast.iter_fields(node):
        items = value if isinstance(value, list) else [value]
        if name == "body" and items and _is_docstring(node, items[0]):
            items = items[1:]
        for item in items:
            if isinstance(item, ast.AST):
                yield name
                yield from _tokens(item)
            elif item is not None and name not in ("kind", "type_comment"):
                yield f"{name}={item!r}"
    yield ")"


def _is_docstring(owner: ast.AST, first: object) -> bool:
    documented = isinstance(owner, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return (
        documented
        and isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


def _imports(tree: ast.AST) -> Iterator[Import]:
    """Every import statement that may run: those under `if TYPE_CHECKING:` do not."""
    for node in _running(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        unseen = isinstance(node, ast.If) and ast.unparse(node.test) in _TYPING
        waiting.extend(node.orelse if isinstance(node, ast.If) and unseen else ast.iter_child_nodes(node))
