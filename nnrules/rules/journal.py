"""What the build did: one line as each stage starts and ends, `last_build.json`, and the closing table."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import SCons.Node

from nnrules.catalog.table import render

_RESULTS = {SCons.Node.executed: "ran", SCons.Node.up_to_date: "current", SCons.Node.failed: "failed"}


@dataclass(frozen=True)
class Entry:
    """A stage, or a step of the C builders; `node`: its first target, whose state says how it went."""

    model: str
    target: str | None
    stage: str
    node: Any


@dataclass(frozen=True)
class Figures:
    """A `*.measured.json` of this build, with the budget of its model."""

    node: Any
    limits: Mapping[str, float | None]


class Journal:
    """`path`: where the record of the build goes when it is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[Entry] = []
        self._figures: list[Figures] = []
        self._seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def expect(self, entry: Entry) -> None:
        """A step that this build may run."""
        self._entries.append(entry)

    def measured(self, node: Any, limits: Mapping[str, float | None]) -> None:
        """Figures for the closing table."""
        self._figures.append(Figures(node, limits))

    def say(self, line: str) -> None:
        """One whole line, also while stages run side by side."""
        with self._lock:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def took(self, node: Any, seconds: float) -> None:
        """How long a stage took, whether it succeeded or not."""
        with self._lock:
            self._seconds[str(node)] = seconds

    def close(self) -> None:
        """Write `last_build.json`; print the table when nothing failed."""
        rows = [row for entry in self._entries if (row := self._row(entry))]
        if not rows:
            return
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps({"stages": rows}, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, self._path)
        done = [each for each in self._figures if _RESULTS.get(each.node.get_state()) in ("ran", "current")]
        if done and not any(row["result"] == "failed" for row in rows):
            records = [json.loads(Path(str(each.node)).read_text(encoding="utf-8")) for each in done]
            self.say(render(records, [each.limits for each in done]).rstrip("\n"))

    def _row(self, entry: Entry) -> dict[str, Any] | None:
        result = _RESULTS.get(entry.node.get_state())
        if result is None or (result == "failed" and _not_reached(entry.node)):
            return None
        seconds = round(self._seconds.get(str(entry.node), 0.0), 3)
        row = {"model": entry.model, "target": entry.target, "stage": entry.stage, "result": result}
        return {**row, "seconds": seconds}


def _not_reached(node: Any) -> bool:
    """With `-k` SCons calls everything failed that needs something that failed."""
    return any(child.get_state() == SCons.Node.failed for child in node.all_children())
