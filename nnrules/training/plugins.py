"""Methods that are found by their file being there."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from nnrules.error import UserError, suggest


def method(package: str, kind: str, name: str) -> Any:
    """The module of a package of methods. Raises UserError where no file has the name."""
    folder = Path(str(importlib.import_module(package).__file__)).parent
    known = sorted(path.stem for path in folder.glob("[!_]*.py"))
    if name not in known:
        raise UserError(f"{kind} {name!r}", "is not known", suggest(name, known))
    return importlib.import_module(f"{package}.{name}")
