"""Every process that a build starts: each leads a group of its own, and the whole group ends with it or the build."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

import msgspec

INTERRUPTED = 130
PATIENCE = 2.0  # seconds from the first signal to SIGKILL
_AGAIN = 0.5  # seconds; what follows sooner is the same wish: a signal to the process and to its group

_ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))


class Finished(msgspec.Struct, frozen=True):
    """A process that is over. `status`: negative where a signal ended it; the texts are what was not taken by line."""

    status: int
    stdout: str
    stderr: str


class Processes:
    """The processes of one build. `interrupted`: the build was told to end, nothing is started any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._since = 0.0
        self.interrupted = False

    def watch_signals(self) -> None:
        """From now on SIGINT, SIGTERM and SIGHUP end all processes; call it in the main thread.

        SCons handles these signals itself and lets what runs end; so they are watched beside its handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader, before), daemon=True, name="signals").start()

    def run(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdout: Callable[[str], None] | None = None,
        stderr: Callable[[str], None] | None = None,
    ) -> Finished:
        """Run a process to its end; `stdout`, `stderr`: called with each line, in a thread of their own.

        Raises OSError where it cannot be started. What it leaves behind in its group is killed.
        """
        process = self.start(arguments, env=env, cwd=cwd, stdin=subprocess.DEVNULL)
        if process is None:
            return Finished(INTERRUPTED, "", "")
        kept: tuple[list[str], list[str]] = ([], [])
        readers = [
            read_lines(process.stdout, stdout or kept[0].append),
            read_lines(process.stderr, stderr or kept[1].append),
        ]
        status = self.wait(process)
        if status and self.interrupted:
            return Finished(INTERRUPTED, "", "")
        for reader in readers:
            reader.join(PATIENCE)
        texts = ["".join(f"{line}\n" for line in lines) for lines in kept]
        return Finished(status, *texts)

    def start(self, arguments: Sequence[str], **how: Any) -> subprocess.Popen[bytes] | None:
        """A process with pipes, leader of its group; `how`: more for Popen. None after an interruption."""
        with self._lock:
            if self.interrupted:
                return None
            pipe = subprocess.PIPE
            process = subprocess.Popen(arguments, stdout=pipe, stderr=pipe, start_new_session=True, **how)
            self._running.add(process)
            return process

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """The status of a started process, once it and its group are over."""
        if hasattr(os, "waitid"):
            with suppress(ChildProcessError):
                os.waitid(
                    os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
                )  # its id stays taken while the group is killed
        kill_group(process.pid)
        with self._lock:
            self._running.discard(process)
        return process.wait()

    def interrupt(self) -> None:
        """End all processes: SIGINT, after PATIENCE SIGKILL; who asks again gets that at once."""
        with self._lock:
            first, self.interrupted = not self.interrupted, True
        if first:
            self._since = time.monotonic()
            self._signal(signal.SIGINT)
            timer = threading.Timer(PATIENCE, self._signal, [_KILL])
            timer.daemon = True
            timer.start()
        elif time.monotonic() > self._since + _AGAIN:
            self._signal(_KILL)

    def _signal(self, number: int) -> None:
        with self._lock:
            running = list(self._running)
        for process in running:
            kill_group(process.pid, number)

    def _watch(self, reader: int, before: int) -> None:
        while data := os.read(reader, 64):
            if before != -1:
                with suppress(OSError):
                    os.write(before, data)
            if any(number in _ENDING for number in data):
                self.interrupt()


_KILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)


def kill_group(leader: int, number: int = _KILL) -> None:
    """Send a signal to a process group, if it is still there."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(leader, number)


def read_lines(stream: IO[bytes] | None, take: Callable[[str], None]) -> threading.Thread:
    """A running thread that calls `take` with each line of a stream, and closes the stream at its end."""
    thread = threading.Thread(target=_read_lines, args=(stream, take), daemon=True)
    thread.start()
    return thread


def _read_lines(stream: Iterable[bytes], take: Callable[[str], None]) -> None:
    for line in stream:
        take(line.decode(errors="replace").rstrip("\r\n"))
