"""Options of the quantize stage that its method does not have, found before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnrules.catalog import quantizers
from nnrules.error import UserError, suggest

_WIDTHS = {"weight_bits": "weights", "first_bits": "weights", "last_bits": "weights", "activation_bits": "inputs"}


def require_heeded(
    place: str, model: str, chosen: Any, declared: Mapping[str, Any], overrides: Mapping[str, str]
) -> None:
    """Raises UserError for an option that the method of `chosen` would not look at, and for a width that it has not.

    `declared`: what was said at `place`, which counts for another method where the command line (`overrides`, as
    written) names one.
    """
    given = dict.fromkeys(() if "method" in overrides else declared, place)
    given |= {name: f"{model}.quantize.{name}={text}" for name, text in overrides.items()}
    base = quantizers.method(chosen.method)
    if chosen.method == quantizers.MIXES:
        base = _base(given.get("base", place), chosen)
    heeded = quantizers.heeded(chosen.method, base.name)
    for name, where in given.items():
        if name not in heeded:
            cure = ", ".join(quantizers.users(name))
            raise UserError(where, f"{chosen.method} does not use {name}", f"it is for {cure}" if cure else "")
        if missing := _missing(name, chosen):
            raise UserError(where, f"{name} has no effect", missing)
    places = {name: given.get(name, place) for name in (*_WIDTHS, "layers")}
    _require_widths(base, chosen, {name: where for name, where in places.items() if name in heeded})


def _require_widths(base: quantizers.Method, chosen: Any, places: Mapping[str, str]) -> None:
    """Raises UserError for bits that the method has not. `places`: where each option that says some was given."""
    wanted = [(where, "", _WIDTHS[name], getattr(chosen, name)) for name, where in places.items() if name in _WIDTHS]
    for layer, (weights, inputs) in chosen.layers.items() if "layers" in places else ():
        label = f"layer {layer!r}: "
        wanted += [(places["layers"], label, "weights", weights), (places["layers"], label, "inputs", inputs)]
    for where, label, kind, bits in wanted:
        known = base.weight_bits if kind == "weights" else base.activation_bits
        if known and bits not in known:
            fault, cure = quantizers.no_width(base.name, kind, bits, known)
            raise UserError(where, f"{label}{fault}", cure)


def require_tried(place: str, method: str, searched: Mapping[str, Sequence[Any]]) -> None:
    """Raises UserError for a method that trials of a search cannot have, and for an option (with what it may be) or a
    width that it has not."""
    if method == quantizers.MIXES:
        raise UserError(place, f"{method} has no trials, it measures for itself", "search with the method of its base")
    known = quantizers.method(method)
    for name, values in searched.items():
        if name not in known.options:
            raise UserError(place, f"{method} does not use {name}", f"it is for {', '.join(quantizers.users(name))}")
        kind = _WIDTHS.get(name, "")
        widths = known.weight_bits if kind == "weights" else known.activation_bits
        for bits in values if kind and widths else ():
            if bits not in widths:
                raise UserError(place, *quantizers.no_width(method, kind, bits, widths))


def _base(place: str, chosen: Any) -> quantizers.Method:
    """The method that has the bits that are chosen. Raises UserError where it is none, or nothing limits these."""
    known = [name for name in quantizers.methods() if quantizers.method(name).is_base]
    if chosen.base not in known:
        raise UserError(place, f"{chosen.method} has no base {chosen.base!r}", suggest(chosen.base, known))
    if chosen.size is None and chosen.instructions is None:
        raise UserError(place, f"{chosen.method} has no limit", 'say size="20 KB" or the like')
    return quantizers.method(chosen.base)


def _missing(name: str, chosen: Any) -> str:
    """The cure where an option has no effect for want of another one."""
    narrow = (chosen.weight_bits, chosen.first_bits, chosen.last_bits, *(bits for bits, _ in chosen.layers.values()))
    if name in ("rounding", "correct_bias") and min(narrow) == 8 and chosen.method != quantizers.MIXES:
        return "say weight_bits, fewer than 8, too"
    if name == "seed" and chosen.rounding != "adaptive" and quantizers.method(chosen.method).ranges:
        return "say rounding='adaptive' too"
    if name == "target" and chosen.instructions is None:
        return "say instructions too"
    if name == "percentile" and chosen.method == "ptq" and chosen.range != "percentile":
        return "say range='percentile' too"
    return ""
