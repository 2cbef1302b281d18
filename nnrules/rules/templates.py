"""Which kernel files a generated C file comes from: those that its plan names, so that others do not rebuild it."""

import json
from pathlib import Path
from typing import Any

from SCons.Scanner import Base

from nnrules.catalog.paths import KERNELS

_COMMON = sorted([*KERNELS.glob("program/*.j2"), *KERNELS.glob("include/*.h")])


def _templates(node: Any, env: Any, path: Any) -> list[Any]:
    """The kernels of `*.plan.json` and what every C file is made from; nothing for any other file."""
    if not str(node).endswith(".plan.json") or not node.exists():
        return []
    plan = json.loads(Path(str(node)).read_text(encoding="utf-8"))
    names = sorted({layer["template"] for layer in plan["layers"] if layer["template"]})
    kernels = [file for name in names for file in _pair(KERNELS / name)]
    return [env.File(str(file)) for file in (*kernels, *_COMMON)]


def _pair(template: Path) -> list[Path]:
    description = template.with_name(template.name.removesuffix(".c.j2") + ".toml")
    return [file for file in (template, description) if file.is_file()]


TEMPLATE_SCANNER = Base(function=_templates, name="kernel templates", skeys=[".json"])
