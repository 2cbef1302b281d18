"""What a file of compress/quantizers says of its method, read without running it: widths, options, how it works."""

import ast
from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from nnrules.catalog.paths import PACKAGE
from nnrules.catalog.stages import Recipe

FOLDER = PACKAGE / "compress/quantizers"
EIGHT = ("method", "weight_bits", "activation_bits", "samples")
"""Options that all methods heed."""
EVERY = (*EIGHT, "first_bits", "last_bits", "skip", "layers", "per_channel", "symmetric")
"""Those of methods that have several widths."""
TRAINING = (*(field.name for field in msgspec.structs.fields(Recipe)), "epochs", "percentile")
"""Those of methods that train; what they leave to calibration has ranges by `percentile`."""
AFTER_TRAINING = ("equalize", "rounding", "correct_bias", "seed")
"""Those of methods that choose ranges after training."""
MIXES = "mixed_precision"
CHOSEN = ("weight_bits", "first_bits", "last_bits")
"""What MIXES chooses."""


class Method(msgspec.Struct, frozen=True):
    """`weight_bits`, `activation_bits`: the widths there are. `own`: options beside those of its kind. `ranges`:
    whether it chooses ranges after training; `trains`: whether it is trained along with the network."""

    name: str
    weight_bits: tuple[int, ...] = ()
    activation_bits: tuple[int, ...] = ()
    own: tuple[str, ...] = ()
    ranges: bool = False
    trains: bool = False

    @property
    def is_base(self) -> bool:
        """Whether it can have bits of weights that mixed precision chooses."""
        return (self.trains or self.ranges) and len(self.weight_bits) > 1

    @property
    def options(self) -> tuple[str, ...]:
        """All that it heeds."""
        if not (self.trains or self.ranges):
            return (*EIGHT, *self.own)
        return (*EVERY, *(TRAINING if self.trains else AFTER_TRAINING), *self.own)


@cache
def method(name: str) -> Method:
    """The method of a file that there is: its constants WEIGHT_BITS, ACTIVATION_BITS and OPTIONS, a function
    `choose_range` or a class `Inputs`."""
    body = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")).body
    names = {"WEIGHT_BITS": "weight_bits", "ACTIVATION_BITS": "activation_bits", "OPTIONS": "own"}
    found: dict[str, Any] = {}
    for statement in body:
        if isinstance(statement, ast.Assign):
            targets = [each.id for each in statement.targets if isinstance(each, ast.Name) and each.id in names]
            found |= {names[target]: ast.literal_eval(statement.value) for target in targets}
    defined = {each.name for each in body if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    return Method(name, **found, ranges="choose_range" in defined, trains="Inputs" in defined)


@cache
def methods() -> tuple[str, ...]:
    """The names of all."""
    return tuple(sorted(path.stem for path in FOLDER.glob("[!_]*.py")))


def users(option: str) -> list[str]:
    """The methods that heed an option of the quantize stage."""
    return [name for name in methods() if option in heeded(name, name)]


def heeded(name: str, base: str) -> set[str]:
    """The options that a method heeds; ``base``: see MIXES, else the method itself."""
    found = {*method(name).options, *method(base).options}
    return found - set(CHOSEN) if name == MIXES else found


def no_width(name: str, kind: str, bits: int, known: Sequence[int]) -> tuple[str, str]:
    """Fault and cure where a method does not have a width. ``kind``: weights or inputs."""
    return f"{name} has no {bits}-bit {kind}", f"choose {', '.join(map(str, known))}"
