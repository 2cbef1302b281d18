"""The search stage in processes of its own, forked from one that has imported what they all import; a machine that died
is given up after seconds."""

import multiprocessing
import os
import sys
from contextlib import redirect_stderr
from pathlib import Path

from nnrules.catalog.checked import checked
from nnrules.catalog.stages import SearchOptions
from nnrules.error import UserError
from nnrules.stages.runner import Request, main
from nnrules.stages.search import run
from nnrules.training.search import storage, study

PRELOAD = [
    __name__,
    *("lightning_fabric", "torch._dynamo", "safetensors.torch", "onnx", "torch.export._trace"),
    *("torch.onnx._internal.exporter._core", "onnxscript.function_libs.torch_lib.ops"),
    *("optuna", "sqlalchemy", "sklearn.ensemble", "jinja2", "rich.table", "matplotlib.figure"),
    *("nnrules.stages.train", "nnrules.stages.prune", "nnrules.stages.fit", "nnrules.stages.export"),
]
OUTPUTS = ("best", "study", "report", "table")


class Worker:
    """A process that calls a function of this module in a folder. `said`: what it writes to stderr, to be read."""

    def __init__(self, function, folder, *given, **variables):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        reader, writer = context.Pipe(duplex=False)
        self.process = context.Process(target=_begin, args=(function, folder, variables, writer, *given))
        self.process.start()
        writer.close()
        self.said = os.fdopen(os.dup(reader.fileno()))
        reader.close()

    def ended(self):
        """The lines that it says yet, and its exit code."""
        text = self.said.read()
        self.process.join(200)
        return text.splitlines(), self.process.exitcode

    def kill(self):
        """At once."""
        self.process.kill()
        self.process.join()


def _begin(function, folder, variables, said, *given):
    os.dup2(said.fileno(), 2)
    said.close()
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(folder)
    os.environ.update(variables)
    storage.HEARTBEAT = study.HEARTBEAT = 1
    storage.GRACE = 3
    function(*given)


def search(words):
    """One search, by its command line."""
    main(run, SearchOptions, words)


def cases(given):
    """Several searches, one after another; what each says in a file beside its outputs. `given`: options and inputs by
    name."""
    for name, (options, inputs) in given.items():
        folder = Path(name)
        folder.mkdir()
        outputs = {each: str(folder / each) for each in OUTPUTS}
        paths = {each: [path] for each, path in inputs.items()}
        with (folder / "said").open("w") as said, redirect_stderr(said):
            try:
                run(Request("search", "halves", "", checked("options", SearchOptions, options), paths, outputs))
            except UserError as fault:
                print(fault, file=said)
