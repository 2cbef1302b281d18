"""Which kernel files a generated C file comes from: those that its plan names, so that others do not rebuild it."""

import json
from pathlib import Path
from typing import Any

from SCons.Scanner import Base

from nnrules.catalog.paths import KERNELS

_COMMON = sorted([*KERNELS.glob("program/*.j2"), *KERNELS.glob("include/*.h")])


def templates(plan: bytes) -> list[Path]:
    """The kernels that a `*.plan.json` names, and what every C file is made from."""
    names = sorted({layer["template"] for layer in json.loads(plan)["layers"] if layer["template"]})
    return [file for name in names for file in _pair(KERNELS / name)] + _COMMON


def _scan(node: Any, env: Any, path: Any) -> list[Any]:
    if not str(node).endswith(".plan.json") or not node.exists():
        return []
    return [env.File(str(file)) for file in templates(Path(str(node)).read_bytes())]


def _pair(template: Path) -> list[Path]:
    description = template.with_name(template.name.removesuffix(".c.j2") + ".toml")
    return [file for file in (template, description) if file.is_file()]


TEMPLATE_SCANNER = Base(function=_scan, name="kernel templates", skeys=[".json"])
