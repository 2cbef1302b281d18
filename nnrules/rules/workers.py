"""Where stages run: in children of servers that have imported what takes long, or each as a process of its own.

At most two servers, started when first needed: one has torch; the other starts in no time, so that a stage without
torch does not wait for its import. A server lives as long as the build.
"""

import atexit
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from nnrules.catalog.identity import BUILD_PROCESS
from nnrules.rules.processes import INTERRUPTED, Processes
from nnrules.rules.servers import Screen, Server
from nnrules.rules.terminal import Terminal

SWITCH = "NNRULES_WORKERS"  # environment variable; 0: every stage is a process of its own

_TORCH = ("torch", "torch._dynamo")  # the first optimizer and the exporter import the second
_EXPORTER = ("torch.export._trace", "torch.onnx._internal.exporter._core", "onnxscript.function_libs.torch_lib.ops")
_PRELOAD = {  # what a server imports before it forks a stage; nothing that starts a thread, as onnxruntime does
    "train": (*_TORCH, "numpy", "safetensors.torch"),
    "fit": (*_TORCH, "numpy", "safetensors.torch"),
    "load": ("torch", "numpy", "safetensors.torch"),
    "script": ("torch", "numpy", "safetensors.torch"),
    "search": (*_TORCH, "numpy", "safetensors.torch"),
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


class Workers:
    """Runs the stages of one build; thread-safe."""

    def __init__(self, terminal: Terminal, processes: Processes, environment: Mapping[str, str] = os.environ) -> None:
        self._terminal, self._processes = terminal, processes
        self._environment = {**environment, BUILD_PROCESS: str(os.getpid())}
        self._pooled = sys.platform == "linux" and environment.get(SWITCH) != "0"
        self._lock = threading.Lock()
        self._servers: dict[bool, Server] = {}

    def run(self, verb: str, label: str, command: Sequence[str], fresh: bool = False) -> int:
        """Run `[python, -m, module of the stage, argument, ...]` to its end; negative: the signal that ended it.

        `fresh`: as a process of its own in any case.
        """
        self._terminal.started(label)
        screen = Screen(label, self._terminal, self._processes)
        try:
            status = None if fresh or not self._pooled else self._in_server(verb, command, screen)
            if status is None:
                run = self._processes.run
                status = run(command, env=self._environment, stdout=screen.stdout, stderr=screen.stderr).status
        finally:
            self._terminal.ended(label)
        return INTERRUPTED if status and self._processes.interrupted else status

    def close(self) -> None:
        """End the servers, and what still runs in them."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()

    def _in_server(self, verb: str, command: Sequence[str], screen: Screen) -> int | None:
        """None where there is no server that can run it."""
        preload = _PRELOAD.get(verb, ("numpy",))
        server = self._server("torch" in preload)
        request = {"verb": verb, "preload": preload, "arguments": command[3:]}
        return server.run(request, screen) if server else None

    def _server(self, torch: bool) -> Server | None:
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
                server = self._servers[heavy] = Server(process, self._terminal, self._processes)
            return server
