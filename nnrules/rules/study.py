"""env.Study: variants of models side by side in one table, each row from several seeds; `scons study` makes it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from SCons.Script import COMMAND_LINE_TARGETS

from nnrules.catalog.stages import FLOAT, RowOptions, StudyOptions
from nnrules.error import UserError
from nnrules.rules import arguments
from nnrules.rules.arguments import Arguments
from nnrules.rules.failure import caller, explained
from nnrules.rules.model import Quantized
from nnrules.rules.workspace import Subject, Workspace

TARGET = "study"
FLOAT_BITS = 32
_NAMES = {"results": "{}.json", "tables": "{}.md", "picture": "{}.svg"}


class Study:
    """`file`: where the tables go, without its ending, from the top; `title`: what they are headed with; `notes`:
    how they came about, Markdown."""

    def __init__(self, workspace: Workspace, file: str, title: str, notes: str) -> None:
        self._place = caller()
        if not file:
            raise UserError(self._place, "the study has no file", 'name one, without its ending, like "docs/study"')
        self._workspace, self._file = workspace, file
        self._options = StudyOptions(title=title, notes=notes)
        self._rows: dict[RowOptions, list[str]] = {}

    @explained
    def Row(  # noqa: N802
        self,
        built: Quantized,
        model: str,
        method: str,
        weight_bits: int = 8,
        activation_bits: int = 8,
        sparsity: float = 0.0,
        **options: Any,
    ) -> None:
        """Enter one seed's result: `built`, a variant of its own, up to the firmware (`options`: see
        Quantized.Firmware) on the targets of the study. Those that are called the same make up a row. The method
        "float" stands for the network before it is quantized, whose bits are 32."""
        if not isinstance(built, Quantized):
            raise UserError(caller(), "a row needs a quantized model", "give it what Quantize returned")
        place, bits = caller(), (FLOAT_BITS,) * 2 if method == FLOAT else (weight_bits, activation_bits)
        labels: dict[str, Any] = {"model": model, "method": method, "sparsity": sparsity}
        labels |= dict(zip(("weight_bits", "activation_bits"), bits, strict=True))
        row: Any = arguments.options(place, "row", labels, {}, model)
        for word in ("model", "method"):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", labels[word]):
                cure = "write letters, digits and _ . + -"
                raise UserError(place, f"row option {word!r}: {labels[word]!r} is no name", cure)
        if other := next((each for each in self._rows if each != row and _name(each) == _name(row)), None):
            fault = f"rows of {other.method} and {row.method} would both be called {_name(row)}"
            raise UserError(place, fault, "call one of them otherwise")
        built.Firmware(**options)
        self._rows.setdefault(row, []).append(built.model.subject.model)

    def declare(self, whole: bool) -> list[Any]:
        """The stages of rows and tables; the nodes of the tables. Those of a run that leaves nothing out go where the
        study says, others into the folder of the build."""
        if not self._rows:
            raise UserError(self._place, "the study has no rows", "enter some by Row()")
        workspace, target = self._workspace, self._workspace.targets[0].name
        rows = []
        for row, variants in self._rows.items():
            inputs = {
                "float": [workspace.firmwares[each].model["float"] for each in variants],
                "measured": [
                    workspace.file(workspace.folder(each, target) / f"{each}.measured.json") for each in variants
                ],
            }
            name = _name(row)
            rows.append(workspace.add("row", Subject(name, {}), row, inputs, {"row": "{}.row.json"})["row"])
            workspace.env.Alias(f"{TARGET}:{name}", rows[-1])
        file = workspace.top / self._file if whole else workspace.arguments.build / Path(self._file).name
        outputs = {name: ending.format(file) for name, ending in _NAMES.items()}
        nodes = workspace.add("study", Subject(TARGET, {}), self._options, {"rows": rows}, outputs)
        workspace.engine.journal.tell(nodes["tables"])
        workspace.env.NoClean(list(nodes.values()))
        return list(nodes.values())


def is_asked_for(file: str | None) -> bool:
    """Whether the command line says `study` or a row of it, and the project has one."""
    return file is not None and any(each.partition(":")[0] == TARGET for each in COMMAND_LINE_TARGETS)


def words(given: Mapping[str, str]) -> dict[str, str]:
    """The command line: by default on Cortex-M7, in a folder of its own."""
    return {"target": "cortex-m7", **given, "build_dir": f"{given.get('build_dir', 'build')}/{TARGET}"}


def is_whole(given: Mapping[str, str]) -> bool:
    """Whether nothing is asked for but what the study says."""
    return not any(name in ("model", "target") or "." in name for name in given)


def choose(chosen: Arguments) -> None:
    """No model but those of the study is read."""
    chosen.models, chosen.named = [], True


def _name(row: RowOptions) -> str:
    """What a row is called on the command line."""
    width = "" if row.method == FLOAT else f"-w{row.weight_bits}a{row.activation_bits}"
    sparsity = f"-{100 * row.sparsity:g}" if row.sparsity else ""
    return f"{row.model}-{row.method}{sparsity}{width}".replace("+", "-")
