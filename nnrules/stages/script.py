"""script: a network trained by a script of the user's.

The script runs with the build's Python in an empty folder, in which it leaves the files that `outputs=` names, and
finds in its environment

    NNRULES_WEIGHTS      where the trained network's state_dict goes, with torch.save or as safetensors
    NNRULES_SEED, NNRULES_THREADS   the options of those names; numerical libraries have as many threads
    NNRULES_DATA         the folder of `data=`, if there is one
    NNRULES_CHECKPOINTS  a folder that survives a kill, for the same script with the same options and inputs

Inputs: script ("train.py:__main__"), network, dataset; optional data. Outputs: weights (safetensors), log (metric), and
the files that the script writes, under their names.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Lock, Thread
from typing import IO

from nnrules.catalog.sources import reference_file
from nnrules.catalog.stages import ScriptOptions
from nnrules.error import UserError
from nnrules.stages.runner import Request, main
from nnrules.training.adopted import adopt
from nnrules.training.report import finish
from nnrules.training.task import example_inputs, make_dataset, make_network

_OURS = ("weights", "log")
_SEEN = ".imported"
_REST = 10.0  # seconds for what it told last, whose end a process that it leaves behind may keep open
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run(request: Request[ScriptOptions]) -> None:
    """Run it, check the weights against the network, and measure that."""
    script, _ = reference_file(request.inputs["script"][0])
    partial = request.output("weights").parent.absolute()
    folder = partial / "script"
    folder.mkdir()
    log = Path(os.path.relpath(partial.parent / f"{request.model}.script.log"))
    weights = partial / "weights.pth"
    _run(request, script, folder, weights, log)
    cure = f"write the network's state_dict to NNRULES_WEIGHTS; what it told is in {log}"
    if not weights.is_file():
        raise UserError(str(script), "left no weights", cure)
    for name in sorted(set(request.outputs) - {*_OURS}):
        if not (folder / name).is_file():
            raise UserError(str(script), f"left no {name}", "write it to the folder that the script runs in")
        os.replace(folder / name, request.output(name))
    test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    network = make_network(request.reference("network"))
    adopt(network, weights, f"{script}: its weights", example_inputs(test))
    finish(network, test, {}, request.output("weights"), request.output("log"), f"script {request.model}")


def _run(request: Request[ScriptOptions], script: Path, folder: Path, weights: Path, log: Path) -> None:
    """Raises UserError where the script fails, or imports what no build sees."""
    options, data, seen = request.options, request.optional("data"), folder.parent / _SEEN
    threads = str(options.threads)
    environment = {
        **os.environ,
        **dict.fromkeys(_THREADS, threads),
        "PYTHONPATH": os.pathsep.join(str(Path(each).resolve()) for each in _search_path()),
        "NNRULES_WEIGHTS": str(weights),
        "NNRULES_SEED": str(options.seed),
        "NNRULES_THREADS": threads,
        "NNRULES_CHECKPOINTS": str(request.checkpoints.absolute()),
        **({"NNRULES_DATA": str(data.absolute())} if data else {}),
    }
    starter = Path(__file__).with_name("scripted.py")
    command = [sys.executable, str(starter), str(script.absolute()), str(Path.cwd()), str(seen), *options.words]
    pipe = subprocess.PIPE
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe)
        lock, last = Lock(), [""]
        readers = [
            Thread(target=_tee, args=(stream, file, lock, kept), daemon=True)
            for stream, kept in ((process.stdout, [""]), (process.stderr, last))
        ]
        for each in readers:
            each.start()
        status = process.wait()
        for each in readers:
            each.join(_REST)
    if status:
        ending = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        told = f": {last[0]}" if last[0] else ""
        raise UserError(str(script), f"ended with {ending}{told}", f"what it told is in {log}")
    if seen.is_file():
        request.require_seen(json.loads(seen.read_text(encoding="utf-8")))


def _search_path() -> list[str]:
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]


def _tee(stream: IO[bytes], log: IO[str], lock: Lock, last: list[str]) -> None:
    """Pass on what a script tells; `last` holds the last line that says anything."""
    for data in stream:
        line = data.decode(errors="replace").rstrip()
        last[0] = line.strip() or last[0]
        with lock:
            if log.closed:  # what the script started and left behind
                return
            log.write(f"{line}\n")
            log.flush()
            print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(run, ScriptOptions)
