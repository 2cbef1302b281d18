"""The build's end of a server of stages; the other end is `nnrules.stages.server`."""

import json
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nnrules.rules.processes import Processes, kill_group, read_lines
from nnrules.rules.terminal import Terminal

_MARK = "\x1e"  # begins a report of progress


class Screen:
    """Takes the lines of one stage; what stages say while they are being ended is left out."""

    def __init__(self, label: str, terminal: Terminal, processes: Processes) -> None:
        self._label, self._terminal, self._processes = label, terminal, processes

    def stdout(self, line: str) -> None:
        text, _, report = line.partition(_MARK)
        if self._report(report):
            line = text
        if line or not report:
            self._show(line, self._terminal.say)

    def stderr(self, line: str) -> None:
        self._show(line, self._terminal.error)

    def _report(self, text: str) -> bool:
        """Whether it is a report, which is passed on."""
        try:
            report = json.loads(text)
            known = report["fraction"], report["text"], report.get("line", "")
        except (ValueError, LookupError, TypeError):
            return False
        if not self._processes.interrupted:
            self._terminal.progress(self._label, *known)
        return True

    def _show(self, line: str, write: Any) -> None:
        if not self._processes.interrupted:
            write(line.rstrip("\r").rpartition("\r")[2])  # of a line that was drawn over, as bars are, the last


class _Stage:
    """A stage that runs in a server. `process`: 0 until it is known; `status`: None while it has none."""

    def __init__(self, screen: Screen) -> None:
        self.screen, self.process = screen, 0
        self.status: int | None = None
        self.over = threading.Event()


class Server:
    """The build's end of one server process; stages whose server is gone count as killed."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: Terminal, processes: Processes) -> None:
        self._process, self._processes = process, processes
        self._lock = threading.Lock()
        self._stages: dict[int, _Stage] = {}
        self._count = 0
        self._gone = threading.Event()
        self.alive = True
        self.warm = False
        read_lines(process.stderr, terminal.error)
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, request: Mapping[str, Any], screen: Screen) -> int | None:
        """The status of a stage that was asked for and has ended; None where the server broke down before that."""
        stage = _Stage(screen)
        with self._lock:
            if not self.alive:
                return None
            self._count += 1
            self._stages[self._count] = stage
            line = json.dumps({"id": self._count, **request})
            with suppress(OSError):  # a server that ends is noticed where it is listened to
                assert self._process.stdin is not None
                self._process.stdin.write(line.encode() + b"\n")
                self._process.stdin.flush()
        stage.over.wait()
        return stage.status

    def close(self) -> None:
        """Let it end by itself, which takes no time, or kill it."""
        with suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        if not self._gone.wait(0.5):
            kill_group(self._process.pid)

    def _listen(self) -> None:
        try:
            for line in self._process.stdout or ():
                self._take(json.loads(line))
        finally:
            kill_group(self._process.pid)
            killed = self._processes.wait(self._process) == -signal.SIGKILL
            self._gone.set()
            with self._lock:
                self.alive, left, self._stages = False, self._stages, {}
            for stage in left.values():
                if stage.process:
                    kill_group(stage.process)
                if stage.process or killed:
                    stage.status = -signal.SIGKILL
                stage.over.set()

    def _take(self, message: Mapping[str, Any]) -> None:
        stage = self._stages[message["id"]]
        match message:
            case {"process": process}:
                stage.process, self.warm = process, True
            case {"stdout": line}:
                stage.screen.stdout(line)
            case {"stderr": line}:
                stage.screen.stderr(line)
            case {"status": status}:
                del self._stages[message["id"]]
                stage.status = status
                stage.over.set()
