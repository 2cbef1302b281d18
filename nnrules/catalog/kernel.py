"""kernels/**/<op>_<dtypes>__<isa>.toml -> frozen Kernel records: what each kernel computes, needs and costs."""

import itertools
import re
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.checked import checked, read_toml
from nnrules.catalog.expression import Parameters, evaluate
from nnrules.catalog.paths import KERNELS
from nnrules.error import UserError

TEMPLATE_SUFFIX = ".c.j2"
BY_ROWS = "by_rows"  # a parameter: 1 where x is an array of pointers to rows, NULL for those outside the image
ALONE = {
    "alike": 1,
    "kinds": 1,
}  # of a network's layers that a kernel runs: how many are like one, of how many kinds all

PLAIN = {
    "levels": 0, "weight_bits": 8, "weight_low": -128, "weight_high": 127, "weight_step": 1,
    "kept": 0, "kept_4": 0, "kept_8": 0, "kept_16": 0,
}  # fmt: skip
# where outputs are made by a multiplier, and weights need int8 and are not zero by whole vectors
BYTES = {"packed": 0, "x_bits": 8, "x_low": 0, "x2_bits": 8, "x2_low": 0, "y_bits": 8, "y_low": 0}
# where each value of a layer's inputs and output is one


class _Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The TOML file as written; expressions are over the operator's parameters."""

    op: str
    isa: str
    let: dict[str, str] = {}
    when: tuple[str, ...] = ()
    scratch: str = "0"
    in_place: bool | str = False
    rows: bool = False
    thresholds: bool = False
    stream: bool = False
    packed: bool = False
    packing: str | None = None
    params: dict[str, tuple[int, ...]] = {}
    weights: str = "0"
    cost: str


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """One kernel.

    ``let``: names for expressions that those further down and all others may use; ``when``: conditions that must all
    hold, also over ALONE; ``in_place``: whether, or when, the output may start where the first input does; ``rows``:
    whether the template also takes the rows of its input one by one, see BY_ROWS; ``thresholds``: whether it also makes
    outputs by thresholds; ``stream``: whether weights and other constants are one array, which several formats would
    have to have once each; ``packed``: whether it also takes tensors of several values a byte (nnrules.graph.packed
    has the parameters); ``packing``: the module of nnrules/codegen/packing that makes its constants, None without;
    ``params``: further parameters and the values to try for each, every combination a variant; ``weights``: bytes of
    the packed weights; ``template``: C.
    """

    name: str
    op: str
    isa: str
    let: dict[str, str]
    when: tuple[str, ...]
    scratch: str
    in_place: bool | str
    rows: bool
    thresholds: bool
    stream: bool
    packed: bool
    packing: str | None
    params: dict[str, tuple[int, ...]]
    weights: str
    cost: str
    template: Path

    def variants(self) -> list[dict[str, int]]:
        """Every combination of ``params``: what the planner may add to a layer's parameters; one empty dict without."""
        return [dict(zip(self.params, values, strict=True)) for values in itertools.product(*self.params.values())]

    def refusal(self, parameters: Parameters, isa: tuple[str, ...]) -> str | None:
        """Why it cannot run a layer on a target with these features ("needs groups == 1"); None where it can."""
        if self.isa not in (*isa, "portable"):
            return f"needs {self.isa}"
        if parameters.get("levels") and not self.thresholds:
            return "needs outputs by a multiplier"
        if parameters.get("packed") and not self.packed:
            return "needs tensors of bytes"
        known = self.known(parameters) if self.when else {}
        return next((f"needs {text}" for text in self.when if not evaluate(text, known)), None)

    def runs_in_place(self, parameters: Parameters) -> bool:
        """Whether the output may start at the first input's address: each value is read before it is overwritten."""
        return self.in_place if isinstance(self.in_place, bool) else bool(self._value(self.in_place, parameters))

    def scratch_bytes(self, parameters: Parameters) -> int:
        """Bytes of working memory it is handed, aligned to 8; 0: the C function has no such argument."""
        return int(self._value(self.scratch, parameters))

    def weight_bytes(self, parameters: Parameters) -> int:
        """Bytes of the weights as its packing stores them, without biases and multipliers."""
        return int(self._value(self.weights, parameters))

    def instructions(self, parameters: Parameters) -> float:
        """The estimated instructions of one run, to choose between kernels."""
        return float(self._value(self.cost, parameters))

    def known(self, parameters: Parameters) -> dict[str, Any]:
        """The parameters and the values of ``let``: what the template is rendered with."""
        known: dict[str, Any] = {BY_ROWS: 0, **ALONE, **PLAIN, **BYTES, **parameters}
        for name, text in self.let.items():
            known[name] = evaluate(text, known)
        return known

    def heeds(self, name: str) -> bool:
        """Whether its description speaks of a parameter."""
        texts = (*self.let.values(), *self.when, self.scratch, str(self.in_place), self.weights, self.cost)
        return any(re.search(rf"\b{name}\b", text) for text in texts)

    def _value(self, text: str, parameters: Parameters) -> Any:
        return evaluate(text, self.known(parameters))


def load_kernel(path: Path) -> Kernel:
    """Read one description; the template lies beside it. Raises UserError naming the file, the fault and the cure."""
    place = f"{path.parent.parent.name}/{path.parent.name}/{path.name}"
    description = checked(place, _Description, read_toml(place, path))
    template = path.with_name(path.stem + TEMPLATE_SUFFIX)
    if not template.is_file():
        raise UserError(place, f"there is no {template.name} beside it", "write the kernel's template")
    if path.stem.rpartition("__")[2] != description.isa:
        raise UserError(place, f"its name does not end in __{description.isa}", "name it <op>_<dtypes>__<isa>.toml")
    return Kernel(name=path.stem, template=template, **msgspec.structs.asdict(description))


def load_kernels(folder: Path = KERNELS) -> list[Kernel]:
    """All kernels under a folder, sorted by name. Raises UserError for a description that is not right."""
    return sorted((load_kernel(path) for path in folder.rglob("*.toml")), key=lambda kernel: kernel.name)
