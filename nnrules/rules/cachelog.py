"""`--cache-log`: every step's key and what it is made of, for `nnrules cache-diff`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnrules.rules.journal import DONE
from nnrules.rules.keys import Key
from nnrules.rules.step import Step

if TYPE_CHECKING:
    from nnrules.rules.engine import Engine

FORMAT = 1


def write(path: Path, results: Mapping[Step, str], keys: Mapping[Step, Key], engine: "Engine") -> None:
    """The steps that a build came to, or in a dry run would come to. `keys`: those that are known."""
    records = [_record(step, result, keys.get(step), engine) for step, result in results.items()]
    path.write_text(json.dumps({"format": FORMAT, "steps": records}, indent=1) + "\n", encoding="utf-8")


def _record(step: Step, result: str, key: Key | None, engine: "Engine") -> dict[str, Any]:
    """`modules`: the Python files behind the component `sources`."""
    there = {name: node for name, node in step.outputs.items() if Path(str(node)).is_file()}
    if key is None and result in DONE and len(there) == len(step.outputs):
        key = engine.keys.of(step)
    return {
        "label": step.label,
        "result": result,
        "key": key.digest if key else None,
        "components": key.components if key else None,
        "modules": engine.sources.members().get(str(key.components.get("sources")), {}) if key else {},
        "outputs": {name: engine.keys.digest(node) for name, node in there.items()} if result in DONE else {},
    }
