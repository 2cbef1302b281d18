"""What a file of compress/pruners says of its method, read without running it: its options."""

import ast
from functools import cache

from nnrules.catalog.paths import PACKAGE

FOLDER = PACKAGE / "compress/pruners"


@cache
def methods() -> tuple[str, ...]:
    """The names of all."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))


def own_options(name: str) -> tuple[str, ...]:
    """Those that a method has beside the ones of all: its constant OPTIONS."""
    return _constant(name, "OPTIONS")


def scopes(name: str) -> tuple[str, ...]:
    """What the option `scope` may be: its constant SCOPES; none: anything."""
    return _constant(name, "SCOPES")


@cache
def _constant(name: str, constant: str) -> tuple[str, ...]:
    for statement in ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == constant:
            found: tuple[str, ...] = ast.literal_eval(statement.value)
            return found
    return ()


def users(option: str) -> list[str]:
    """The methods that have an option; none: all do."""
    return [name for name in methods() if option in own_options(name)]
