"""How far a training run is: a bar on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType


class Progress:
    """Context manager; `step` after each batch, `epoch` after each epoch. Writes to stderr."""

    def __init__(self, title: str, epochs: int, batches: int, done_epochs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

        self._title, self._epochs, self._done = title, epochs, done_epochs
        self._from, self._start = done_epochs, time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._plain = not sys.stderr.isatty()
        self._bar = Progress(*columns, console=Console(stderr=True), disable=self._plain, transient=True)
        self._task = self._bar.add_task(title, total=epochs * batches, completed=done_epochs * batches)

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def resumed(self) -> None:
        """The run goes on from a checkpoint."""
        print(f"{self._title}: resumed after epoch {self._done}", file=sys.stderr, flush=True)

    def step(self, loss: float) -> None:
        """A batch is done."""
        self._bar.update(
            self._task, advance=1, description=f"{self._title} epoch {self._done + 1}/{self._epochs} loss {loss:.3f}"
        )

    def epoch(self, loss: float) -> None:
        """An epoch is done with this mean loss."""
        self._done += 1
        if self._plain:
            spent = time.monotonic() - self._start
            left = spent / (self._done - self._from) * (self._epochs - self._done)
            line = f"{self._title} epoch {self._done}/{self._epochs} loss {loss:.4f}, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
