"""Work on the network that cannot hold a build up.

Timeouts of a socket are not enough: a server that sends a byte now and then, a name server that is silent, or a library
with retries of its own pass them. So the work runs in threads that can be left behind, and whoever waits for it has a
deadline, which moves only with the bytes that arrive.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

SLOWEST = 250_000  # bytes a second; what is slower is given up
TOGETHER = 8  # transfers of one entry side by side


class GivenUp(Exception):  # noqa: N818 - ends a thread that nobody waits for any more
    """Nobody waits for this work any more."""


class Progress:
    """How long a piece of work may still take: `timeout` seconds, and more for the bytes that it has moved."""

    def __init__(self, timeout: float) -> None:
        self._end, self._moved, self._over = time.monotonic() + timeout, 0, False

    def add(self, count: int) -> None:
        """Say that bytes have moved. Raises GivenUp."""
        if self._over:
            raise GivenUp
        self._moved += count

    def left(self) -> float:
        """Seconds, at least 0."""
        return max(0.0, self._end + self._moved / SLOWEST - time.monotonic())

    def give_up(self) -> None:
        """Let the work end as soon as it moves another byte."""
        self._over = True


def attend(works: Sequence[Callable[[Progress], None]], timeout: float) -> None:
    """Do all works, side by side. Raises what the first one raises, or TimeoutError; the rest is left behind then."""
    progress, waiting = Progress(timeout), deque(works)
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    for _ in range(min(TOGETHER, len(works))):
        threading.Thread(target=_work, args=(waiting, progress, ended), daemon=True).start()
    try:
        for _ in works:
            fault = _next(ended, progress)
            if fault is not None:
                raise fault
    finally:
        waiting.clear()
        progress.give_up()


def _work(
    waiting: deque[Callable[[Progress], None]],
    progress: Progress,
    ended: "queue.SimpleQueue[BaseException | None]",
) -> None:
    while True:
        try:
            work = waiting.popleft()
        except IndexError:
            return
        try:
            work(progress)
            ended.put(None)
        except BaseException as fault:  # whoever waits gets it
            ended.put(fault)


def _next(ended: "queue.SimpleQueue[BaseException | None]", progress: Progress) -> BaseException | None:
    while True:
        left = progress.left()
        try:
            return ended.get(timeout=max(left, 1e-3))
        except queue.Empty:
            if progress.left() <= 0:
                raise TimeoutError from None
