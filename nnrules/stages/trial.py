"""One trial of a search: train, prune and quantize by the stages of these names, on data of its own split.

It runs in a process of its own. What it finds is in files of its folder: `curve` (a line of JSON for each epoch) and
`result` (JSON), so that it may be killed at any time; begun again in the same folder, it goes on after the last whole
epoch.
"""

import importlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nnrules.catalog.identity import REPORTS
from nnrules.catalog.space import NETWORK, arguments_of, with_chosen
from nnrules.catalog.stages import STAGES, ExportOptions, LowerOptions, Options, PlanOptions, SearchOptions
from nnrules.error import UserError
from nnrules.stages.references import load_reference
from nnrules.stages.runner import FULL, Request, blame
from nnrules.training.ranks import GOES_ON
from nnrules.training.search.parts import Parts

if TYPE_CHECKING:
    from torch import nn

CURVE_FILE, RESULT_FILE, LOG_FILE = "curve", "result", "log"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`metric`, `name`: of the integer model where there is one, else of the float one. `fault`: what was drawn cannot
    be trained, as one line; `cut_off`: it could, but for what happened to the machine; `is_full`: its disk is;
    `broken`: a traceback, of what is nobody's mistake but ours."""

    metric: float | None = None
    name: str = ""
    cost: float | None = None
    fault: str = ""
    cut_off: bool = False
    is_full: bool = False
    broken: str = ""


@dataclass(frozen=True)
class Reporter:
    """Told after each epoch, measures the network; `dataset`, a reference, and `share`: see Parts; `before`: epochs of
    the stages before."""

    file: Path
    dataset: str
    share: float
    data: Path | None
    before: int

    def __call__(self, epoch: int, network: "nn.Module") -> None:
        value = measured(network, Parts(load_reference(self.dataset), self.share), self.data)["value"]
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.before + epoch, "value": value}) + "\n")


@dataclass(frozen=True)
class TrialRequest(Request[Any]):
    """Reads parts of the training split where a stage asks for a split, and keeps checkpoints in the trial's folder. It
    holds nothing of the user's code, so that a process of a launcher can read it. `share`: see Parts."""

    share: float = 0.0
    chosen: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()

    def reference(self, name: str) -> Any:
        """See Request."""
        found = super().reference(name)
        return Parts(found, self.share) if name == "dataset" else found

    def arguments(self, name: str) -> dict[str, Any]:
        """See Request; of the network, those that a search before this one chose too."""
        return {**super().arguments(name), **(arguments_of(self.chosen) if name == NETWORK else {})}

    def require_seen(self, imported: Collection[str] | None = None) -> None:
        """The request of the search does, whose files are those of all its stages."""

    @cached_property
    def checkpoints(self) -> Path:
        """They stay while the trial's folder does."""
        folder = self.folder / f"{self.verb}.checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def measured(network: "nn.Module", parts: Parts, data: Path | None) -> dict[str, Any]:
    """The metric of a network that is being trained."""
    from nnrules.training.report import evaluated

    found = evaluated(network, parts("test", data))
    assert found is not None  # Parts has looked
    return found


def stage_options(options: SearchOptions, chosen: Mapping[str, Any]) -> dict[str, Options | None]:
    """Of each stage that a trial may have, with what was drawn in its place; None: it is left out."""
    found: dict[str, Options | None] = {}
    for verb in ("train", "prune", "quantize"):
        base = getattr(options, verb)
        values = None if base is None else with_chosen(verb, msgspec.to_builtins(base), chosen)
        found[verb] = None if values is None else msgspec.convert(values, STAGES[verb].options)
    return found


def epochs_of(stages: Mapping[str, Any]) -> list[int]:
    """Of each of the stages train, prune and quantize, at most."""
    train, prune, quantize = (stages[name] for name in ("train", "prune", "quantize"))
    fits = quantize is not None and trains(quantize.method)
    return [train.epochs if train else 0, prune.retrain_epochs if prune else 0, quantize.epochs if fits else 0]


def trains(method: str) -> bool:
    """Whether a quantizer is trained along with the network."""
    return hasattr(importlib.import_module(f"nnrules.compress.quantizers.{method}"), "Inputs")


class Trial:
    """`request`: that of the search."""

    def __init__(self, request: Request[SearchOptions], chosen: Mapping[str, Any], folder: Path) -> None:
        self._request, self._chosen, self._folder = request, chosen, folder
        self._options = request.options
        self._stages = stage_options(request.options, chosen)
        self._data = request.optional("data")
        self._parts = Parts(request.reference("dataset"), request.options.validation)
        self._given = {
            name: request.inputs[name] for name in ("dataset", "data", "files", "best") if name in request.inputs
        }
        self._network = {"network": request.inputs["network"]}

    def run(self) -> Result:
        """Train as the options say; what came of it."""
        found = self._found()
        self._request.require_seen()
        return found

    def _found(self) -> Result:
        from nnrules.stages import fit, prune, train

        before = epochs_of(self._stages)
        weights = self._request.optional("weights")
        if self._stages["train"]:
            weights = self._run(train.run, "train", self._stages["train"], {}, 0)
        if self._stages["prune"]:
            weights = self._run(prune.run, "prune", self._stages["prune"], {"weights": weights}, before[0])
        assert weights is not None
        quantize: Any = self._stages["quantize"]
        if quantize is None:
            return self._float(weights)
        inputs: dict[str, Path | None] = {"weights": weights}
        if trains(quantize.method):
            self._run(fit.run, "fit", quantize, inputs, sum(before[:2]))
            inputs = {"weights": self._file("fit", "weights"), "quantizers": self._file("fit", "quantizers")}
        return self._integer(inputs, quantize)

    def _float(self, weights: Path) -> Result:
        """Of a network that is not quantized."""
        from nnrules.training.task import make_network
        from nnrules.training.weights import load_weights

        network = make_network(self._request_for("evaluate", ExportOptions(), {}, None).reference("network"))
        load_weights(network, weights)
        found = measured(network, self._parts, self._data)
        return Result(metric=found["value"], name=found["name"])

    def _integer(self, inputs: Mapping[str, Path | None], options: Options) -> Result:
        """Export and lower; the integer model's metric and the second objective."""
        from nnrules.graph import ir
        from nnrules.stages import export, lower, quantize
        from nnrules.stages.evaluate import integer_runner
        from nnrules.training.metric import measure

        model = self._run(export.run, "export", ExportOptions(), inputs, None)
        fitted = {name: self._file("fit", name) for name in ("codes", "quantizers")} if "quantizers" in inputs else {}
        qdq = self._run(quantize.run, "quantize", options, {"model": model, **fitted}, None)
        graph_file = self._run(lower.run, "lower", LowerOptions(), {"model": qdq}, None)
        graph = ir.load(graph_file)
        found = measure(self._parts("test", self._data), integer_runner(self._file("lower", "integer"), graph))
        assert found is not None
        return Result(metric=found["value"], name=found["name"], cost=self._cost(graph, graph_file))

    def _cost(self, graph: Any, graph_file: Path) -> float | None:
        """The second objective; None where there is none."""
        if self._options.minimize == "weight_bytes":
            return float(sum(node.operator.weight_bytes() for node in graph.nodes))
        if self._options.minimize == "macs":
            return float(sum(graph.macs(node) for node in graph.nodes))
        if self._options.minimize == "instructions":
            from nnrules.plan.record import load_plan
            from nnrules.stages import plan

            given = {
                name: self._request.inputs[name]
                for name in ("toolchain", "kernels", "costs")
                if name in self._request.inputs
            }
            made = self._run(plan.run, "plan", PlanOptions(), {"graph": graph_file}, None, given)
            return float(round(sum(layer.instructions for layer in load_plan(made).layers)))
        return None

    def _run(
        self,
        run: Any,
        verb: str,
        options: Options,
        inputs: Mapping[str, Path | None],
        before: int | None,
        more: Mapping[str, list[str]] | None = None,
    ) -> Path:
        """A stage, unless it is done already; its first output. `before`: for those that train, epochs of the stages
        before."""
        done = self._folder / f"{verb}.done"
        if not done.exists():
            (self._folder / verb).mkdir(parents=True, exist_ok=True)
            run(
                self._request_for(
                    verb, options, {name: [str(path)] for name, path in inputs.items()} | dict(more or {}), before
                )
            )
            done.touch()
        return self._file(verb, _OUTPUTS[verb][0])

    def _file(self, verb: str, name: str) -> Path:
        suffix = _SUFFIXES.get(name, "")
        return self._folder / verb / f"{self._request.model}.{name}{suffix}"

    def _request_for(
        self, verb: str, options: Options, inputs: Mapping[str, list[str]], before: int | None
    ) -> TrialRequest:
        share, (dataset,) = self._options.validation, self._given["dataset"]
        file = self._folder / CURVE_FILE
        reporter = None if before is None else Reporter(file, dataset, share, self._data, before)
        return TrialRequest(
            verb,
            self._request.model,
            self._options.target if verb == "plan" else "",
            options,
            {**self._network, **self._given, **inputs},
            {name: str(self._file(verb, name)) for name in _OUTPUTS.get(verb, ())},
            self._request.before,
            reporter,
            share=share,
            chosen=self._chosen,
            folder=self._folder,
        )


_OUTPUTS = {
    "train": ("weights", "log"),
    "prune": ("weights", "log"),
    "fit": ("weights", "codes", "quantizers", "log"),
    "export": ("model",),
    "quantize": ("model", "qparams"),
    "lower": ("graph", "integer"),
    "plan": ("plan",),
}
_SUFFIXES = {"weights": ".safetensors", "codes": ".safetensors", "model": ".onnx", "integer": ".onnx"}


def run_in_process(request: Request[SearchOptions], chosen: Mapping[str, Any], folder: Path, parent: int) -> None:
    """The whole life of a trial's process, which ends with the process `parent`."""
    os.setpgid(0, 0)
    os.environ.pop(REPORTS, None)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    log = os.open(folder / LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False, buffering=1) for number in (1, 2))  # noqa: SIM115
    result = _found(request, chosen, folder)
    partial_file = folder / f".{RESULT_FILE}"
    partial_file.write_bytes(msgspec.json.encode(result))
    os.replace(partial_file, folder / RESULT_FILE)
    os._exit(0)


def _found(request: Request[SearchOptions], chosen: Mapping[str, Any], folder: Path) -> Result:
    try:
        return Trial(request, chosen, folder).run()
    except UserError as fault:
        return Result(fault=str(fault), cut_off=GOES_ON in fault.cure)
    except Exception as fault:
        told = blame(fault, request.inputs)
        traceback.print_exc()
        if FULL in str(fault):
            return Result(fault=str(told), is_full=True)
        return Result(fault=str(told)) if told else Result(broken="".join(traceback.format_exception(fault)))


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os.killpg(0, 9)
