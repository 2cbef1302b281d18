"""env.ImportModel and `scons onnx=PATH`: a model that somebody else trained, from its file."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnrules.catalog import quantizers
from nnrules.catalog.names import check_model_name
from nnrules.error import UserError
from nnrules.rules.failure import caller, explained
from nnrules.rules.model import RECORDED, Declaration, Quantized, Step
from nnrules.rules.workspace import Subject, Workspace

SUFFIXES = (".onnx", ".tflite", ".pt2")
_WEIGHTS = ("{name}.data", "{name}_data", "{stem}.data", "{stem}.bin", "{stem}.weights")


class Imported(Step):
    """A model as its file has it, in normal form: float, quantized, or partly so."""

    @explained
    def Quantize(self, method: str = "percentile", **options: Any) -> Quantized:  # noqa: N802
        """Choose scales and zero points for what has none, and lower to the exact integer program."""
        model = self.model
        chosen: Any = model.options("quantize", {"method": method, **options})
        if chosen.method == quantizers.MIXES or quantizers.method(chosen.method).trains:
            cure = "choose from " + ", ".join(each for each in quantizers.methods() if quantizers.method(each).ranges)
            raise UserError(caller(), f"{chosen.method} needs a network with its loss, not only its file", cure)
        lower = model.options("lower", {})
        inputs = {"model": self.nodes["model"], **model.workspace.data(model.subject)}
        outputs = {"qparams": "{}.qparams.json", "model": "{}.onnx"}
        quantized = model.add("quantize", chosen, inputs, outputs, "dataset")
        outputs = {"graph": "{}.graph.json", "integer": "{}.integer.onnx"}
        lowered = model.add("lower", lower, {"model": quantized["model"]}, outputs)
        nodes = {**quantized, **lowered, "float": self.nodes["model"], "chosen": quantized["qparams"]}
        return Quantized(model, nodes)

    def Firmware(self, *given: Any, **named: Any) -> Any:  # noqa: N802
        """Quantize with the defaults, then as Quantized.Firmware."""
        return self.Quantize().Firmware(*given, **named)


def import_model(
    workspace: Workspace,
    name: str,
    onnx: str,
    calibration: str | None = None,
    samples: str | None = None,
    files: Sequence[str] = (),
    place: str = "",
) -> Imported:
    """env.ImportModel: `onnx`: an .onnx, .tflite or .pt2 file beside the SConscript; `samples`: .npz, see contract;
    `calibration`: .npz for choosing ranges, where that is not `samples`; `files`: further files with its weights;
    `place`: what messages name, by default the SConscript's line.
    """
    place = place or caller()
    check_model_name(place, name, workspace.names)
    workspace.stages[name] = []
    node = _file(workspace, place, onnx)
    path = Path(node.get_abspath())
    _require_suffix(place, path)
    beside = [_file(workspace, place, each) for each in files]
    beside += [workspace.file(each) for each in weights_beside(path)]
    inputs = {"file": [node], "beside": beside} if beside else {"file": [node]}
    for label, text in (("samples", samples), ("calibration", calibration)):
        if text is not None:
            inputs[label] = [_file(workspace, place, text)]
    model = Declaration(workspace, Subject(name, {}))
    outputs = {"model": "{}.imported.onnx", "inputs": "{}.imported.npz"}
    nodes = model.add("convert", model.options("convert", {}), inputs, outputs)
    subject = Subject(name, {"dataset": RECORDED}, data=[nodes["inputs"]])
    return Imported(Declaration(workspace, subject), {"model": nodes["model"]})


def model_name(word: str, path: Path) -> str:
    """A model's name from its file's stem. Raises UserError at `word` for a file of another kind."""
    _require_suffix(word, path)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)
    return name if name[:1].isalpha() else f"m{name}"


def weights_beside(path: Path) -> list[Path]:
    """The files in which exporters put the weights of a model."""
    names = [each.format(name=path.name, stem=path.stem) for each in _WEIGHTS]
    return [path.parent / each for each in dict.fromkeys(names) if (path.parent / each).is_file()]


def _require_suffix(place: str, path: Path) -> None:
    if path.suffix.lower() not in SUFFIXES:
        fault = f"{path.name} is not a model file"
        raise UserError(place, fault, f"give one that ends in {', '.join(SUFFIXES)}")


def _file(workspace: Workspace, place: str, text: str) -> Any:
    """The node of a file beside the SConscript. Raises UserError where there is no such file."""
    if Path(workspace.env.Dir(".").srcnode().get_abspath(), text).is_dir():  # before File, which would not have it
        raise UserError(place, f"{text} is a folder", "name the file in it")
    node = workspace.env.File(text.replace("$", "$$")).srcnode()
    path = Path(node.get_abspath())
    if not path.is_file():
        told = path.relative_to(workspace.top) if path.is_relative_to(workspace.top) else path
        raise UserError(place, f"there is no file {told}", "create it or correct the name")
    return workspace.file(path)
