"""Runs stages as forked children, so that what they all import is imported once.

Its build writes one JSON object a line to its stdin, {"id", "verb", "preload": [module], "arguments": [...]}, and reads
what happens from its stdout: {"id"} with "process", with a line of "stdout" or "stderr", at the end with "status"
(negative: a signal). Each child leads a process group, which is killed when the child is over. The server ends when its
stdin does. It has one thread and computes nothing itself: threads and devices do not survive a fork.
"""

import atexit
import importlib
import json
import os
import selectors
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from nnrules.catalog.identity import BUILD_PROCESS
from nnrules.catalog.stages import STAGES
from nnrules.stages import runner

CHUNK = 1 << 16  # bytes; also the longest line that is not cut
PATIENCE = 1.0  # seconds from SIGINT to SIGKILL; less than the build's own
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class _Stage:
    """A running child; `pipes`: by descriptor the name, and what is not a whole line yet."""

    request: dict[str, Any]
    process: int
    pipes: dict[int, tuple[str, bytearray]] = field(default_factory=dict)


class Server:
    """`requests`, `replies`: descriptors of the two pipes."""

    def __init__(self, requests: int, replies: int) -> None:
        self._requests, self._replies, self._unread = requests, replies, bytearray()
        self._wake, writer = os.pipe()
        for end in (self._wake, writer):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in _ENDING:
            signal.signal(number, _stop)
        self._selector = selectors.DefaultSelector()
        self._stages: list[_Stage] = []
        self._own = (replies, self._wake, writer)
        self._child: dict[str, Any] | None = None
        self._watch(requests, self._receive)
        self._watch(self._wake, self._reap)

    def serve(self) -> dict[str, Any] | None:
        """Until stdin ends or a signal says so; in each forked child this returns at once, with its request."""
        try:
            while self._child is None:
                for key, _ in self._selector.select():
                    if self._child is None and key.fd in self._selector.get_map():
                        key.data()
        except (EOFError, KeyboardInterrupt, BrokenPipeError):
            self._end()
        return self._child

    def _watch(self, descriptor: int, ready: Callable[[], None]) -> None:
        self._selector.register(descriptor, selectors.EVENT_READ, ready)

    def _receive(self) -> None:
        data = os.read(self._requests, CHUNK)
        if not data:
            raise EOFError
        for line in _lines(self._unread, data):
            if self._child is None:
                self._start(json.loads(line))

    def _start(self, request: dict[str, Any]) -> None:
        for name in request["preload"]:
            with suppress(Exception):  # the stage says so itself if it needs it
                importlib.import_module(name)
        pipes = {name: os.pipe() for name in ("stdout", "stderr")}
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # a child must not take one for the server
        process = os.fork()
        if process == 0:
            self._become(request, [writer for _, writer in pipes.values()])
        else:
            with suppress(OSError):
                os.setpgid(process, process)  # here and there, so that it is done before anybody signals the group
            stage = _Stage(request, process)
            for name, (reader, writer) in pipes.items():
                os.close(writer)
                os.set_blocking(reader, False)
                stage.pipes[reader] = (name, bytearray())
                self._watch(reader, lambda reader=reader: self._forward(stage, reader))  # type: ignore[misc]
            self._stages.append(stage)
            self._send(stage, process=process)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)

    def _become(self, request: dict[str, Any], outputs: list[int]) -> None:
        """In a new child: nothing of the server's stays but its modules."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for descriptor in (*self._own, *(reader for stage in self._stages for reader in stage.pipes)):
            os.close(descriptor)
        empty = os.open(os.devnull, os.O_RDONLY)
        for descriptor, place in zip((empty, *outputs), (self._requests, 1, 2), strict=True):
            os.dup2(descriptor, place)
            os.close(descriptor)
        self._stages, self._child = [], request

    def _forward(self, stage: _Stage, reader: int, last: bool = False) -> None:
        """Pass on the whole lines that have come; `last`, or at the end of the pipe, the rest too."""
        name, unread = stage.pipes[reader]
        data = _read(reader)
        last = last or data == b""
        for line in _lines(unread, data or b"", last):
            self._send(stage, **{name: line.decode(errors="replace")})
        if last:
            del stage.pipes[reader]
            self._selector.unregister(reader)
            os.close(reader)

    def _reap(self) -> None:
        """Take leave of the children that are over."""
        _read(self._wake)
        for stage in [each for each in self._stages if _is_over(each)]:
            status = _bury(stage)
            self._stages.remove(stage)
            for reader in list(stage.pipes):
                self._forward(stage, reader, last=True)  # CHUNK is what a pipe can hold
            self._send(stage, status=status)

    def _send(self, stage: _Stage, **message: Any) -> None:
        data = json.dumps({"id": stage.request["id"], **message}).encode() + b"\n"
        while data:
            data = data[os.write(self._replies, data) :]

    def _end(self) -> None:
        """Interrupt every child, and kill what does not end by itself."""
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        for stage in self._stages:
            _signal(stage, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        while self._stages:
            late = time.monotonic() > deadline
            for stage in [each for each in self._stages if late or _is_over(each)]:
                _bury(stage)
                self._stages.remove(stage)
            time.sleep(0.02)


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _read(descriptor: int) -> bytes | None:
    """What has come; empty at the end, None where there is nothing now."""
    try:
        return os.read(descriptor, CHUNK)
    except BlockingIOError:
        return None


def _lines(unread: bytearray, data: bytes, last: bool = False) -> list[bytes]:
    """The lines that `data` completes; what follows them stays in `unread`, unless it is the `last` or too long."""
    unread += data
    *lines, rest = bytes(unread).split(b"\n")
    if rest and (last or len(rest) > CHUNK):
        lines, rest = [*lines, rest], b""
    unread[:] = rest
    return lines


def _is_over(stage: _Stage) -> bool:
    """Whether the child has ended; it stays a zombie, which keeps its id from being given to another process."""
    return os.waitid(os.P_PID, stage.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _bury(stage: _Stage) -> int:
    """Kill what is left of the child's group and tidy up behind it; its status, negative where a signal ended it."""
    _signal(stage, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(stage.process, 0)[1])
    if status < 0:
        runner.remove_partial(stage.request["arguments"])
    return status


def _signal(stage: _Stage, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(stage.process, number)


def _run(request: dict[str, Any]) -> NoReturn:
    """In a child: the stage, as `python -m` would run it."""
    status: Any = 1
    verb, arguments = request["verb"], request["arguments"]
    try:
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()  # else all children would draw alike
        module = importlib.import_module(f"nnrules.stages.{verb}")
        sys.argv = [str(module.__file__), *arguments]
        runner.main(module.run, STAGES[verb].options, arguments)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else bool(leaving.code)
    except KeyboardInterrupt:
        status = runner.INTERRUPTED
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # Python's own way out takes long after torch's import


def main() -> None:
    """The two pipes are stdin and stdout; what imports print goes to stderr."""
    os.environ[BUILD_PROCESS] = str(os.getpid())
    replies = os.dup(1)
    os.dup2(2, 1)
    request = Server(0, replies).serve()
    if request is not None:
        _run(request)
    os._exit(0)


if __name__ == "__main__":
    main()
