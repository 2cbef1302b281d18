"""What a Python file means, as a digest that is equal on Python 3.11 to 3.13, and what it imports.

Comments, docstrings, layout, paths, and how a string or a number is spelt do not count.
"""

import ast
import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path

Import = tuple[int, str, tuple[str, ...]]  # level (dots), module, names

_UNSEEN = ("kind", "type_comment", "type_ignores")  # fields that do not change what the program does


def digest_and_imports(path: Path) -> tuple[str, list[Import]]:
    """Of one file; one that does not parse counts by its bytes (the stage will say what is wrong)."""
    text = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each Python warns of other things; as errors, they would end the parsing
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return hashlib.sha256(text).hexdigest(), []
    digest = hashlib.sha256(path.stem.encode())
    for token in _tokens(tree):
        digest.update(token.encode() + b"\0")
    return digest.hexdigest(), list(_imports(tree))


def _tokens(tree: ast.AST) -> Iterator[str]:
    """The tree as text, without recursion: the sum of a thousand terms is a thousand nodes deep."""
    waiting: list[ast.AST | str] = [tree]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        else:
            waiting += reversed([f"({type(item).__name__}", *_parts(item), ")"])


def _parts(node: ast.AST) -> Iterator[ast.AST | str]:
    """The fields of a node. Empty ones are left out: newer Pythons add some, and the digest must not depend on that."""
    for name, value in ast.iter_fields(node):
        if value is None or name in _UNSEEN:
            continue
        for item in _items(node, name, value) if isinstance(value, list) else [value]:
            yield name
            yield item if isinstance(item, ast.AST) else _text(item)


def _items(owner: ast.AST, name: str, items: list[object]) -> list[object]:
    """A list of a node, without its docstring; an f-string's as few constants as it can have."""
    if name == "body" and items and _is_docstring(owner, items[0]):
        return items[1:]
    if isinstance(owner, ast.JoinedStr):
        return _merged(items)
    return items


def _merged(values: list[object]) -> list[object]:
    """Neighbouring constants of an f-string as one text: 3.12.1 adds empty ones."""
    found = list[object]()
    for value in values:
        text = value.value if isinstance(value, ast.Constant) else None
        if not isinstance(text, str):
            found.append(value)
        elif found and isinstance(found[-1], str):
            found[-1] += text
        elif text:
            found.append(text)
    return found


def _text(value: object) -> str:
    """Whole numbers in hexadecimal: there is no limit to their digits. Others in ASCII: what is printable depends on
    the Unicode of a Python."""
    return hex(value) if isinstance(value, int) and not isinstance(value, bool) else ascii(value)


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
        waiting.extend(node.orelse if isinstance(node, ast.If) and _typing(node.test) else ast.iter_child_nodes(node))


def _typing(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `typing.TYPE_CHECKING`."""
    if isinstance(test, ast.Attribute) and isinstance(test.value, ast.Name) and test.value.id == "typing":
        return test.attr == "TYPE_CHECKING"
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
