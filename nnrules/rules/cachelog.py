"""`--cache-log`: every step's key and what it is made of, for `nnrules cache-diff`."""

import json
from pathlib import Path
from typing import Any

from nnrules.rules.journal import DONE, Journal
from nnrules.rules.keys import Keys
from nnrules.rules.step import Step

FORMAT = 1


def write(path: Path, journal: Journal, keys: Keys) -> None:
    """The steps that this build came to, those too that were current."""
    results = [(step, journal.result(step)) for step in journal.steps]
    records = [_record(step, result, journal, keys) for step, result in results if result]
    path.write_text(json.dumps({"format": FORMAT, "steps": records}, indent=1) + "\n", encoding="utf-8")


def _record(step: Step, result: str, journal: Journal, keys: Keys) -> dict[str, Any]:
    done = result in DONE
    key = journal.keys.get(step) or (keys.of(step) if done else None)
    return {
        "label": step.label,
        "result": result,
        "key": key.digest if key else None,
        "components": key.components if key else None,
        "outputs": {name: keys.digest(node) for name, node in step.outputs.items()} if done else {},
    }
