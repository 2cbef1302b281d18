"""Where stages run: in children of servers that have imported what takes long, or each as a process of its own.

At most two servers, started when first needed: one has torch; the other starts in no time, so that a stage without
torch does not wait for its import. A server lives as long as the build.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from nnrules.catalog.identity import BUILD_PROCESS
from nnrules.rules.processes import INTERRUPTED, Processes, kill_group, read_lines
from nnrules.rules.terminal import Terminal

SWITCH = "NNRULES_WORKERS"  # environment variable; 0: every stage is a process of its own

_TORCH = ("torch", "torch._dynamo")  # the first optimizer and the exporter import the second
_EXPORTER = ("torch.export._trace", "torch.onnx._internal.exporter._core", "onnxscript.function_libs.torch_lib.ops")
_PRELOAD = {  # what a server imports before it forks a stage; nothing that starts a thread, as onnxruntime does
    "train": (*_TORCH, "numpy", "safetensors.torch"),
    "prune": (*_TORCH, "numpy", "safetensors.torch", "torch_pruning"),
    "export": (*_TORCH, *_EXPORTER, "numpy", "onnx", "safetensors.torch"),
    "verify": ("torch", "numpy", "onnx"),
    "quantize": ("numpy", "onnx"),
    "lower": ("numpy", "onnx"),
    "generate": ("numpy", "jinja2"),
    "measure": ("numpy", "elftools.elf.elffile"),
    "report": ("numpy", "jinja2", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    "gate": (),
}
_MARK = "\x1e"  # begins a report of progress


class Workers:
    """Runs the stages of one build; thread-safe."""

    def __init__(self, terminal: Terminal, processes: Processes, environment: Mapping[str, str] = os.environ) -> None:
        self._terminal, self._processes = terminal, processes
        self._environment = {**environment, BUILD_PROCESS: str(os.getpid())}
        self._pooled = sys.platform == "linux" and environment.get(SWITCH) != "0"
        self._lock = threading.Lock()
        self._servers: dict[bool, _Server] = {}

    def run(self, verb: str, label: str, command: Sequence[str], fresh: bool = False) -> int:
        """Run `[python, -m, module of the stage, argument, ...]` to its end; negative: the signal that ended it.

        `fresh`: as a process of its own in any case.
        """
        self._terminal.started(label)
        screen = _Screen(label, self._terminal, self._processes)
        try:
            if fresh or not self._pooled:
                status = self._processes.run(
                    command, env=self._environment, stdout=screen.stdout, stderr=screen.stderr
                ).status
            else:
                status = self._in_server(verb, command, screen)
        finally:
            self._terminal.ended(label)
        return INTERRUPTED if status and self._processes.interrupted else status

    def close(self) -> None:
        """End the servers, and what still runs in them."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()

    def _in_server(self, verb: str, command: Sequence[str], screen: "_Screen") -> int:
        preload = _PRELOAD.get(verb, ("numpy",))
        server = self._server("torch" in preload)
        if server is None:
            return INTERRUPTED
        return server.run({"verb": verb, "preload": preload, "arguments": list(command[3:])}, screen)

    def _server(self, torch: bool) -> "_Server | None":
        """A server for stages with or without torch; the one with torch serves all once it has it."""
        with self._lock:
            if not self._servers:
                atexit.register(self.close)
            ready = self._servers.get(True)
            heavy = torch or (ready is not None and ready.alive and ready.warm)
            server = self._servers.get(heavy)
            if server is None or not server.alive:
                command = [sys.executable, "-m", "nnrules.stages.server"]
                process = self._processes.start(command, stdin=subprocess.PIPE, env=self._environment)
                if process is None:
                    return None
                server = self._servers[heavy] = _Server(process, self._terminal, self._processes)
            return server


class _Screen:
    """Takes the lines of one stage; what stages say while they are being ended is left out."""

    def __init__(self, label: str, terminal: Terminal, processes: Processes) -> None:
        self._label, self._terminal, self._processes = label, terminal, processes

    def stdout(self, line: str) -> None:
        text, _, report = line.partition(_MARK)
        if report:
            self._report(json.loads(report))
        if text or not report:
            self._show(text, self._terminal.say)

    def stderr(self, line: str) -> None:
        self._show(line, self._terminal.error)

    def _report(self, report: Mapping[str, Any]) -> None:
        if not self._processes.interrupted:
            self._terminal.progress(self._label, report["fraction"], report["text"], report.get("line", ""))

    def _show(self, line: str, write: Any) -> None:
        if not self._processes.interrupted:
            write(line.rpartition("\r")[2])  # of a line that was drawn over, as bars are, the last


class _Stage:
    """A stage that runs in a server. `process`: 0 until it is known."""

    def __init__(self, screen: _Screen) -> None:
        self.screen, self.process, self.status = screen, 0, -signal.SIGKILL
        self.over = threading.Event()


class _Server:
    """The build's end of one server process; stages whose server is gone count as killed."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: Terminal, processes: Processes) -> None:
        self._process, self._processes = process, processes
        self._lock = threading.Lock()
        self._stages: dict[int, _Stage] = {}
        self._count = 0
        self.alive = True
        self.warm = False
        read_lines(process.stderr, terminal.error)
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, request: Mapping[str, Any], screen: _Screen) -> int:
        """The status of a stage that was asked for and has ended."""
        stage = _Stage(screen)
        with self._lock:
            if not self.alive:
                return stage.status
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
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
        kill_group(self._process.pid)

    def _listen(self) -> None:
        try:
            for line in self._process.stdout or ():
                self._take(json.loads(line))
        finally:
            self._processes.wait(self._process)
            with self._lock:
                self.alive, left, self._stages = False, self._stages, {}
            for stage in left.values():
                if stage.process:
                    kill_group(stage.process)
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
