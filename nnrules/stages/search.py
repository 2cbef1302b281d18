"""search: options and network arguments that give the best network, found by trying.

Inputs: network, dataset, optional data, weights (of training, where trials begin after it), best (of a search before
this one, which chose arguments of the network), and for instructions toolchain, kernels and costs. Outputs: best (JSON:
value by parameter, the network's arguments of the search before too), study (JSON: all trials), report (HTML), table
(text).
"""

import hashlib
import importlib
import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import msgspec
import torch

from nnrules.catalog.identity import REPORTS, stage_identity
from nnrules.catalog.space import NETWORK, read_best
from nnrules.catalog.stages import SearchOptions
from nnrules.error import UserError, suggest
from nnrules.stages import trial as trials
from nnrules.stages.runner import Request, content_digest, main, sources
from nnrules.training.ranks import GOES_ON
from nnrules.training.search.parts import VALIDATION, Parts, require_mixed
from nnrules.training.search.storage import opened, resolved
from nnrules.training.search.study import Begun, Study, front, winner
from nnrules.training.task import parameters_of
from nnrules.verify import search_page

STUDIES = Path(".nnrules/studies")
POLL = 0.2  # seconds
HOPELESS = 3  # trials that fail before any succeeds
# What the processes of trials would import each:
_TRAINING = ("lightning_fabric", "torch._dynamo", "safetensors.torch")
_EXPORT = (
    "onnx",
    "torch.export._trace",
    "torch.onnx._internal.exporter._core",
    "onnxscript.function_libs.torch_lib.ops",
)
_NOT_THE_STUDY = {"trials": None, "seconds": None, "epochs": None, "drop": 0.0}  # what a study may be continued with


def run(request: Request[SearchOptions]) -> None:
    """Go on with the study until it is over; a search that was killed does."""
    place, options = f"search {request.model}", request.options
    url = resolved(place, options.storage, os.environ)
    name = study_name(request)
    folder = STUDIES / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # others would not survive in the processes of trials
    _look(request, place)
    with opened(place, url, folder) as storage:
        for module in (*_TRAINING, *(_EXPORT if options.quantize else ())):
            importlib.import_module(module)
        largest = {each.name: each.largest for each in options.space}
        longest = sum(trials.epochs_of(trials.stage_options(options, largest)))
        study = Study(storage, name, options, longest)
        Search(request, study, folder, place).run()
        _write(request, study)


def study_name(request: Request[SearchOptions]) -> str:
    """The same on every machine with the same sources, options and inputs, however long the study is to be."""
    kept = msgspec.structs.replace(request.options, **_NOT_THE_STUDY)
    identity = stage_identity(request.verb, kept, request.references, sources())
    inputs = {
        name: sorted(content_digest(Path(text)) for text in texts)
        for name, texts in request.inputs.items()
        if name not in request.references
    }
    text = json.dumps({**identity, "inputs": inputs}, sort_keys=True)
    return f"nnrules-{request.model}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _look(request: Request[SearchOptions], place: str) -> None:
    """Raises UserError for what would make every trial fail: arguments that the network has not, data that cannot be
    divided."""
    network, dataset = request.reference("network"), request.reference("dataset")
    known = parameters_of(network)
    for each in request.options.space:
        if each.group == "network" and known is not None and each.option not in known:
            where = request.inputs["network"][0]
            cure = suggest(each.option, known) if known else "give its constructor that argument"
            raise UserError(where, f"has no argument {each.option!r} to search", cure)
    parts = Parts(dataset, request.options.validation)
    parts("test", request.optional("data"))
    if VALIDATION not in getattr(dataset, "splits", ()):
        require_mixed(parts.whole(request.optional("data")), request.options.validation, request.inputs["dataset"][0])


@dataclass
class Running:
    """A trial's process. `epochs`: after as many it is whole; `read`: lines of its reports so far; `stopped`: it is to
    end early."""

    begun: Begun
    process: Any
    folder: Path
    start: float
    epochs: int
    read: int = 0
    step: int = 0
    stopped: bool = False


def _write(request: Request[SearchOptions], study: Study) -> None:
    """The winner's options, and what tells of the study. Raises UserError where there is no winner."""
    options, known = request.options, study.trials()
    best = winner(known, options.drop)
    if best is None:
        study.forget()
        faults = [each.fault for each in known if each.fault]
        fault = f"none of its {len(known)} trials came to its end" + (f" ({faults[0]})" if faults else "")
        raise UserError(f"search {request.model}", fault, "mend that, or change the space")
    before = request.optional("best")
    network = {
        name: value for name, value in (read_best(before) if before else {}).items() if name.startswith(f"{NETWORK}.")
    }
    found = {**network, **best.chosen}
    request.output("best").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    told = search_page.Search(
        model=request.model,
        metric=study.metric_name,
        cost=unit(options) if options.minimize else "",
        drop=options.drop,
        trials=msgspec.to_builtins(known),
        best=best.number,
        front=[each.number for each in front(known)],
        importances=study.importances(),
    )
    request.output("study").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    request.output("report").write_text(search_page.render(told), encoding="utf-8")
    request.output("table").write_text(search_page.table(told), encoding="utf-8")


class Search:
    """Runs trials, up to `jobs` at a time."""

    def __init__(self, request: Request[SearchOptions], study: Study, folder: Path, place: str) -> None:
        self._request, self._study, self._folder, self._place = request, study, folder, place
        self._running: list[Running] = []
        self._failed = 0
        method = "fork" if sys.platform == "linux" else "spawn"
        self._context: Any = multiprocessing.get_context(method)

    def run(self) -> None:
        """Until the study is over. Raises UserError where nothing that is tried can be trained."""
        if again := self._study.resume():
            which = "1 trial that was cut off goes" if again == 1 else f"{again} trials that were cut off go"
            self._say(f"{self._place}: goes on; {which} on after the last whole epoch")
        waits = False
        with self._ended():
            while True:
                while len(self._running) < self._request.options.jobs and (begun := self._study.next()):
                    self._begin(begun)
                if not self._running and self._study.is_over():
                    return
                if not self._running and not waits:
                    waits = True
                    self._say(f"{self._place}: waits for trials of other machines")
                sentinels = [each.process.sentinel for each in self._running]
                wait(sentinels, POLL) if sentinels else time.sleep(POLL)
                self._study.beat()
                for each in list(self._running):
                    self._watch(each)

    @contextmanager
    def _ended(self) -> Iterator[None]:
        """No trial outlives the search."""
        try:
            yield
        finally:
            for each in self._running:
                _kill(each.process)

    def _begin(self, begun: Begun) -> None:
        folder = self._folder / f"trial-{begun.first}"
        folder.mkdir(exist_ok=True)
        (folder / trials.RESULT_FILE).unlink(missing_ok=True)
        given = (self._request, begun.chosen, folder, os.getpid())
        process = self._context.Process(target=trials.run_in_process, args=given)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            process.start()
        epochs = sum(trials.epochs_of(trials.stage_options(self._request.options, begun.chosen)))
        self._running.append(Running(begun, process, folder, time.monotonic(), epochs))

    def _watch(self, each: Running) -> None:
        """Pass on what a trial has reported, and how it ended."""
        over = not each.process.is_alive()
        self._read(each)
        if not over and not each.stopped:
            return
        _kill(each.process)
        self._running.remove(each)
        result = _result(each)
        if result.is_full:  # the study holds the trial to be running still
            raise UserError(self._place, result.fault, GOES_ON)
        if result.cut_off and not each.stopped and self._study.again(each.begun):
            self._say(f"{self._place} trial {each.begun.number}: {result.fault}; it is tried once more")
            return
        shutil.rmtree(each.folder, ignore_errors=True)
        self._tell(each, result)

    def _read(self, each: Running) -> None:
        """The metric after each epoch, until one says that the trial is to end."""
        file = each.folder / trials.CURVE_FILE
        lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
        for line in lines[each.read :]:
            if each.stopped:
                return
            report = json.loads(line)
            each.read, each.step = each.read + 1, report["step"]
            each.stopped = self._study.report(each.begun, each.step, report["value"]) and each.step < each.epochs

    def _tell(self, each: Running, result: trials.Result) -> None:
        """The end of a trial to the study, and to who watches."""
        attributes: dict[str, Any] = {"seconds": round(time.monotonic() - each.start, 2), "epochs": each.step}
        if each.stopped:
            self._study.pruned(each.begun, **attributes)
            self._progress(each, f"ended early after {each.step} epoch{'s' if each.step > 1 else ''}")
        elif result.broken:
            raise RuntimeError(result.broken)
        elif result.metric is None:
            self._failed += 1
            self._study.failed(each.begun, result.fault, **attributes)
            self._progress(each, result.fault)
            if self._failed == HOPELESS and not any(trial.state == "complete" for trial in self._study.trials()):
                self._study.forget()
                raise UserError(self._place, f"the first {HOPELESS} trials failed ({result.fault})", "mend that")
        else:
            self._study.complete(each.begun, result.metric, result.cost, name=result.name, **attributes)
            cost = "" if result.cost is None else f", {result.cost:,.0f} {unit(self._request.options)}"
            self._progress(each, f"{result.name} {result.metric:.4f}{cost}")

    def _progress(self, each: Running, text: str) -> None:
        known = self._study.trials()
        over = sum(trial.state in ("complete", "pruned", "failed") for trial in known)
        limit, best = self._study.limit, winner(known, self._request.options.drop)
        of = f" of {limit}" if limit else ""
        so_far = f"; best: trial {best.number}, {best.metric:.4f}" if best else ""
        drawn = ", ".join(f"{name} {value}" for name, value in each.begun.chosen.items())
        line = f"{self._place} trial {each.begun.number}: {text} ({drawn}){so_far}"
        if os.environ.get(REPORTS):
            report = {"fraction": over / limit if limit else 0.0, "text": f"{over}{of} trials{so_far}", "line": line}
            print(f"\x1e{json.dumps(report)}", flush=True)
        else:
            self._say(line)

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def unit(options: SearchOptions) -> str:
    """What the second objective counts."""
    return {"weight_bytes": "bytes of weights", "macs": "MACs"}.get(options.minimize, options.minimize)


def _result(each: Running) -> trials.Result:
    """What a trial's process left."""
    file = each.folder / trials.RESULT_FILE
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=trials.Result)
    code = each.process.exitcode
    how = (
        f"was killed by {signal.Signals(-code).name}" if code is not None and code < 0 else f"ended with status {code}"
    )
    return trials.Result(fault=f"its process {how}", cut_off=True)


def _kill(process: Any) -> None:
    """The process with all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        process.kill()
    process.join()


if __name__ == "__main__":
    main(run, SearchOptions)
