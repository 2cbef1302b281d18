"""Options of the quantize stage that its method does not have, found before anything runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnrules.catalog import quantizers
from nnrules.error import UserError, suggest

_WIDTHS = {"weight_bits": "weights", "first_bits": "weights", "last_bits": "weights", "activation_bits": "inputs"}


def require_heeded(
    place: str,
    model: str,
    chosen: Any,
    declared: Mapping[str, Any],
    overrides: Mapping[str, str],
    searched: Sequence[str] = (),
) -> None:
    """Raises UserError for an option that the method of `chosen` would not look at, and for a width that it has not.

    `declared`: what was said at `place`, which counts for another method where the command line (`overrides`, as
    written) names one. `searched`: what a search chooses, whose values it has looked at itself.
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
        if name not in searched and (missing := _missing(name, chosen)) and not _governs(searched, name):
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


def require_tried(place: str, every: Sequence[Any], searched: Sequence[str], given: Mapping[str, Any]) -> None:
    """The same for the trials of a search, and raises UserError for methods that they cannot have or of which some are
    trained and some are not; an option that is short of another one must have an effect in some of them.

    ``every``: what the trials may have; ``searched``: the options that are chosen; ``given``: those that are said.
    """
    names = tuple(dict.fromkeys((*searched, *given)))
    for chosen in every:
        if chosen.method == quantizers.MIXES:
            cure = "search with the method of its base"
            raise UserError(place, f"{chosen.method} has no trials, it measures for itself", cure)
        method = quantizers.method(chosen.method)
        for name in names:
            if name not in method.options:
                cure = f"it is for {', '.join(quantizers.users(name))}"
                raise UserError(place, f"{chosen.method} does not use {name}", cure)
        _require_widths(method, chosen, {name: place for name in (*_WIDTHS, "layers") if name in method.options})
    for name in names:
        faults = [_missing(name, chosen) for chosen in every]
        if all(faults):
            raise UserError(place, f"{name} has no effect", faults[0])
    if len({quantizers.method(chosen.method).trains for chosen in every}) > 1:
        fault = "quantize.method: some of these are trained and some are not"
        raise UserError(place, fault, "search among those of one kind")


def _base(place: str, chosen: Any) -> quantizers.Method:
    """The method that has the bits that are chosen. Raises UserError where it is none, or nothing limits these."""
    known = [name for name in quantizers.methods() if quantizers.method(name).is_base]
    if chosen.base not in known:
        raise UserError(place, f"{chosen.method} has no base {chosen.base!r}", suggest(chosen.base, known))
    if chosen.size is None and chosen.instructions is None:
        raise UserError(place, f"{chosen.method} has no limit", 'say size="20 KB" or the like')
    return quantizers.method(chosen.base)


def _governs(searched: Sequence[str], name: str) -> bool:
    """Whether a search chooses the option that another one is short of."""
    return {"percentile": "range", "seed": "rounding"}.get(name) in searched


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
