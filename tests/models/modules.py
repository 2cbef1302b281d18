"""Modules of models, whose names (`dataset`, `features`) several of them use, apart from one another."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

MODELS = Path(__file__).parents[2] / "models"


def module_of(model: str, name: str) -> ModuleType:
    """A module of a model; what it imports from beside it is that model's too."""
    with _alone(model):
        return importlib.import_module(name)


@contextmanager
def _alone(model: str) -> Iterator[None]:
    """The model's folder is the first that is looked in, and no other model's modules are known."""
    names = {path.stem for path in MODELS.glob("*/*.py")}
    others = {name: sys.modules.pop(name) for name in names & set(sys.modules)}
    sys.path.insert(0, str(MODELS / model))
    try:
        yield
    finally:
        sys.path.remove(str(MODELS / model))
        for name in names & set(sys.modules):
            del sys.modules[name]
        sys.modules.update(others)
