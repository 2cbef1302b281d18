"""What a file of training/optimizers says of its method, read without running it: its options of the recipe."""

import ast
from functools import cache

from nnrules.catalog.paths import PACKAGE

FOLDER = PACKAGE / "training/optimizers"


@cache
def methods() -> tuple[str, ...]:
    """The names of all."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))


@cache
def options(name: str) -> frozenset[str]:
    """What the file takes of its argument `recipe`."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    attributes = [each for each in ast.walk(tree) if isinstance(each, ast.Attribute)]
    return frozenset(each.attr for each in attributes if ast.unparse(each.value) == "recipe")


def users(option: str) -> list[str]:
    """The methods that have an option; none: it is not the optimizers'."""
    return [name for name in methods() if option in options(name)]
