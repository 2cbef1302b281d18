"""How many bits the weights and the input of each layer have, as the options say, and what training made of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from nnrules.catalog import quantizers
from nnrules.catalog.stages import QuantizeOptions
from nnrules.error import UserError, suggest

WIDEST = 8


class Widths(msgspec.Struct, frozen=True):
    """Bits of a layer's weights and input. `skipped`: both 8 and left to calibration, whatever the method is."""

    weights: int
    inputs: int
    skipped: bool = False


class Fitted(msgspec.Struct, frozen=True):
    """What is known of a layer's quantization when its training is over.

    ``weights``: whether they were trained; of its input, where that was: level n stands for n * ``scale``, from ``lo``
    to ``hi``, and the levels are of slope * x + offset.
    """

    weights: bool
    lo: int = 0
    hi: int = 0
    scale: float = 0.0
    slope: float = 1.0
    offset: float = 0.0

    @property
    def inputs(self) -> bool:
        """Whether the input's quantization was trained."""
        return self.scale > 0

    @property
    def zero_point(self) -> int:
        """What the level 0 is as int8: 0, or what is nearest where the levels would not fit otherwise."""
        return min(127 - self.hi, max(0, -128 - self.lo))


def widths(names: Sequence[str], options: QuantizeOptions, place: str, idle: Collection[str] = ()) -> dict[str, Widths]:
    """Of every layer. ``names``: of all, in their order; ``idle``: of those that the network has and never runs.

    Raises UserError for the name of a layer that there is not or that never runs, and where the method has no such
    width.
    """
    for option, given in (("skip", options.skip), ("layers", tuple(options.layers))):
        for name in given:
            if name in idle:
                cure = f"leave it out. The layers that run are {', '.join(names)}"
                raise UserError(place, f"{option} names {name!r}, which the network never runs", cure)
            if name not in names:
                raise UserError(place, f"{option} names {name!r}, which is no layer", nearest(name, names))
    for name in options.layers:
        if name in options.skip:
            raise UserError(f"{place}: layer '{name}'", "is in both skip and layers", "leave it out of one of them")
    found = dict.fromkeys(names, Widths(options.weight_bits, options.activation_bits))
    if names:
        last = WIDEST if len(names) == 1 else max(options.last_bits, options.activation_bits)
        found[names[0]] = Widths(options.first_bits, WIDEST)
        found[names[-1]] = Widths(options.last_bits, last)
    found |= {name: Widths(*bits) for name, bits in options.layers.items()}
    found |= dict.fromkeys(options.skip, Widths(WIDEST, WIDEST, skipped=True))
    _require_widths(found, options.method, place)
    return found


def with_allotted(options: QuantizeOptions, path: Path | None) -> QuantizeOptions:
    """The options with the bits of a file of the allot stage, if there is one."""
    if path is None:
        return options
    found = msgspec.json.decode(path.read_bytes(), type=dict[str, Widths])
    layers = {name: (each.weights, each.inputs) for name, each in found.items() if not each.skipped}
    layers = {name: bits for name, bits in layers.items() if name not in options.skip}
    return msgspec.structs.replace(options, layers=layers)


def _require_widths(found: dict[str, Widths], name: str, place: str) -> None:
    method = quantizers.method(name)
    for layer, each in found.items():
        for kind, bits, known in (
            ("weights", each.weights, method.weight_bits), ("inputs", each.inputs, method.activation_bits)
        ):  # fmt: skip
            if bits not in known and not each.skipped:
                raise UserError(f"{place}: layer '{layer}'", *quantizers.no_width(method.name, kind, bits, known))


def nearest(name: str, names: Collection[str]) -> str:
    """The cure for a name that is no layer's: the nearest one, and all of them."""
    cure = suggest(name, names)
    return cure if cure.startswith("choose") else f"{cure} The layers are {', '.join(names)}"
