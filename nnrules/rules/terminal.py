"""What a build writes: whole lines, and on a terminal below them a row for each running stage."""

import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO


class Terminal:
    """Thread-safe. Rows are drawn where both streams are terminals that can do it; elsewhere there are lines only."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._lock = threading.RLock()
        self._live = _can_draw(environment)
        self._bar: Any = None
        self._rows: dict[str, list[Any]] = {}

    def say(self, line: str) -> None:
        """A line on stdout."""
        self._write(line, sys.stdout)

    def error(self, text: str) -> None:
        """A line on stderr."""
        self._write(text, sys.stderr)

    def started(self, label: str) -> None:
        """A stage runs: a row, where there are any."""
        if not self._live:
            return
        with self._lock:
            if self._bar is None:
                self._bar = _rows()
                self._bar.start()
            self._rows.setdefault(label, []).append(self._bar.add_task(label, total=None, text=""))

    def progress(self, label: str, fraction: float, text: str, line: str = "") -> None:
        """How far a stage is, 0 to 1. `line`: what says so without a row; empty: nothing."""
        if not self._live:
            if line:
                self.error(line)
            return
        with self._lock:
            for row in self._rows.get(label, [])[-1:]:
                self._bar.update(row, completed=fraction, total=1.0, text=text)

    def ended(self, label: str) -> None:
        """The stage is over; its row goes."""
        with self._lock:
            rows = self._rows.get(label, [])
            if rows:
                self._bar.remove_task(rows.pop())
            if self._bar is not None and not any(self._rows.values()):
                self._bar.stop()
                self._bar = None

    def _write(self, line: str, stream: TextIO) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
                return
            encoding = stream.encoding or "utf-8"
            try:
                stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
                stream.flush()
            except (OSError, ValueError):
                return  # nobody reads any more: no reason to fail a build


def _can_draw(environment: Mapping[str, str]) -> bool:
    if environment.get("CI") or environment.get("TERM", "dumb") == "dumb":
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))


def _rows() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[text]}", markup=False),
    )
    return Progress(*columns, console=Console(), transient=True)
