"""How far a training run is: reports to the build that it runs under, else a bar on a terminal, a line per epoch."""

from __future__ import annotations

import json
import os
import sys
import time
from types import TracebackType
from typing import Any

from nnrules.catalog.identity import REPORTS

_INTERVAL = 0.1  # seconds between reports


class Progress:
    """Context manager; `step` after each batch, `epoch` after each epoch. Lines and a bar go to stderr, if `shown`."""

    def __init__(self, title: str, epochs: int, batches: int, done_epochs: int, shown: bool = True) -> None:
        self._title, self._epochs, self._batches, self._done = title, epochs, batches, done_epochs
        self._steps = self._from = done_epochs * batches
        self._start = time.monotonic()
        self._shown, self._reports, self._reported = shown, shown and bool(os.environ.get(REPORTS)), 0.0
        self._bar = _bar() if shown and sys.stderr.isatty() and not self._reports else None
        if self._bar:
            self._task = self._bar.add_task(title, total=epochs * batches, completed=self._steps)

    def __enter__(self) -> Progress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def resumed(self) -> None:
        """The run goes on from a checkpoint."""
        self._say(f"resumed after epoch {self._done}")

    def enough(self, patience: int) -> None:
        """The run ends early, after so many epochs in which the loss on the items apart has not fallen."""
        self._say(f"ends after epoch {self._done}, as the loss on the items apart has not fallen for {patience}")

    def step(self, loss: float) -> None:
        """A batch is done."""
        self._steps += 1
        text = f"epoch {self._done + 1}/{self._epochs} loss {loss:.3f}"
        if self._bar:
            self._bar.update(self._task, completed=self._steps, description=f"{self._title} {text}")
        elif self._reports and time.monotonic() >= self._reported + _INTERVAL:
            self._report(f"{text}, {self._left():.0f} s left")

    def epoch(self, loss: float) -> None:
        """An epoch is done with this mean loss."""
        self._done += 1
        text = f"epoch {self._done}/{self._epochs} loss {loss:.4f}, {self._left():.0f} s left"
        if self._reports:
            self._report(text, line=f"{self._title} {text}")
        elif self._shown and not self._bar:
            print(f"{self._title} {text}", file=sys.stderr, flush=True)

    def _say(self, text: str) -> None:
        if self._shown:
            print(f"{self._title}: {text}", file=sys.stderr, flush=True)

    def _left(self) -> float:
        """Seconds."""
        spent = time.monotonic() - self._start
        return spent / (self._steps - self._from) * (self._epochs * self._batches - self._steps)

    def _report(self, text: str, **more: str) -> None:
        self._reported = time.monotonic()
        report = {"fraction": self._steps / (self._epochs * self._batches), "text": text, **more}
        print(f"\x1e{json.dumps(report)}", flush=True)


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
