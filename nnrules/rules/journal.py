"""What the build did: one line for each step that ends, `last_build.json`, and the closing table."""

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import SCons.Node

from nnrules.catalog.table import render, render_ram

if TYPE_CHECKING:
    from nnrules.rules.keys import Key
    from nnrules.rules.step import Step
    from nnrules.rules.terminal import Terminal

_RESULTS = {SCons.Node.executed: "ran", SCons.Node.up_to_date: "current", SCons.Node.failed: "failed"}
DONE = ("ran", "cached", "current")


class Figures(msgspec.Struct, frozen=True, eq=False):
    """A `*.measured.json` of this build, with the budget of its model."""

    node: Any
    limits: Mapping[str, float | None]


class Journal:
    """`path`: where the record of the build goes when it is over; `quiet`: no lines for steps that went well."""

    def __init__(self, path: Path, terminal: "Terminal", quiet: bool = False) -> None:
        self._path, self._terminal, self._quiet = path, terminal, quiet
        self.steps: list[Step] = []
        self._figures: list[Figures] = []
        self._texts: list[Any] = []
        self._seconds: dict[Step, float] = {}
        self._cached: set[Step] = set()
        self.keys: dict[Step, Key] = {}
        self._lock = threading.Lock()

    def expect(self, step: "Step") -> None:
        """A step that this build may run."""
        self.steps.append(step)

    def measured(self, node: Any, limits: Mapping[str, float | None]) -> None:
        """Figures for the closing table."""
        self._figures.append(Figures(node, limits))

    def tell(self, node: Any) -> None:
        """A text file of this build, to be shown at its end."""
        self._texts.append(node)

    @property
    def worked(self) -> bool:
        """Whether any step ran or came from the cache."""
        return bool(self._seconds)

    def ran(self, step: "Step", key: "Key", seconds: float, succeeded: bool) -> None:
        """A step ended."""
        with self._lock:
            self._seconds[step], self.keys[step] = seconds, key
        if succeeded and not self._quiet:
            self._terminal.say(f"{step.label}: {seconds:.1f} s")

    def cached(self, step: "Step", key: "Key", seconds: float) -> None:
        """A step's outputs came from the cache in so many seconds."""
        with self._lock:
            self._seconds[step], self.keys[step] = seconds, key
            self._cached.add(step)
        if not self._quiet:
            self._terminal.say(f"{step.label}: cached")

    def visited(self) -> set[str]:
        """The outputs that SCons looked at."""
        return {str(node) for step in self.steps if self.reached(step) for node in step.outputs.values()}

    def reached(self, step: "Step") -> bool:
        """Whether SCons looked at the step."""
        return bool(step.first.get_state() > SCons.Node.pending)

    def result(self, step: "Step") -> str | None:
        """`ran`, `cached`, `current` or `failed`; None for a step that the build did not come to."""
        result = _RESULTS.get(step.first.get_state())
        if result == "ran" and step in self._cached:
            return "cached"
        return None if result == "failed" and _not_reached(step.first) else result

    def close(self) -> None:
        """Write `last_build.json`; print the table when nothing failed."""
        results = {step: result for step in self.steps if (result := self.result(step))}
        if not results:
            return
        rows = [self._row(step, result) for step, result in results.items()]
        partial = self._path.with_suffix(".partial")
        lines = ",\n ".join(map(json.dumps, rows))  # indent= would take ten times as long
        partial.write_text(f'{{"stages": [\n {lines}\n]}}\n', encoding="utf-8")
        os.replace(partial, self._path)
        done = [each for each in self._figures if _RESULTS.get(each.node.get_state()) in DONE]
        if done and "failed" not in results.values():
            records = [json.loads(Path(str(each.node)).read_text(encoding="utf-8")) for each in done]
            self._terminal.say((render(records, [each.limits for each in done]) + render_ram(records)).rstrip("\n"))
        for node in self._texts:
            if _RESULTS.get(node.get_state()) in DONE:
                self._terminal.say("\n" + Path(str(node)).read_text(encoding="utf-8").rstrip("\n"))

    def _row(self, step: "Step", result: str) -> dict[str, Any]:
        row = {"model": step.model, "target": step.target, "stage": step.name, "result": result}
        return {**row, "seconds": round(self._seconds.get(step, 0.0), 3)}


def _not_reached(node: Any) -> bool:
    """With `-k` SCons calls everything failed that needs something that failed."""
    return any(child.get_state() == SCons.Node.failed for child in node.all_children())
