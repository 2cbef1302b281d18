"""The space of a search as a SConscript writes it, and what its trials may have, checked before any of them runs."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nnrules.catalog.space import NETWORK, Parameter, with_chosen
from nnrules.catalog.stages import Options
from nnrules.error import UserError, suggest
from nnrules.rules import arguments

GROUPS = ("train", "prune", "quantize")
_EACH = 64  # values of a whole range that are looked at one by one
_WORDS = 256  # combinations of words


def parameters(place: str, space: Mapping[str, Any]) -> tuple[Parameter, ...]:
    """Those of a space. Raises UserError for what is none, and for values that their option does not have."""
    if not isinstance(space, Mapping) or not space:
        raise UserError(
            place, "the space of a search is empty", 'write it like {"train.learning_rate": (1e-4, 1e-2, "log")}'
        )
    found = tuple(_parameter(place, name, given) for name, given in space.items())
    for each in found:
        whole = f"{each.group}.{outer(each.option)}"
        if each.group != NETWORK and each.name != whole and whole in space:
            raise UserError(place, f"{each.name} and {whole} are both searched", "leave one of them out")
    return found


def outer(option: str) -> str:
    """Of an option that is a table, without the key."""
    return option.partition(".")[0]


def tried(place: str, space: Sequence[Parameter], group: str, given: Mapping[str, Any], model: str) -> list[Any]:
    """The options of a stage with each value that a search may choose, the other ones at their largest, and with all
    combinations of words. Raises UserError for what no stage can have."""
    mine = [each for each in space if each.group == group]
    words = [each for each in mine if any(isinstance(value, str) for value in each.values)]
    combined = itertools.islice(itertools.product(*([(each.name, v) for v in each.values] for each in words)), _WORDS)
    chosen = dict[str, dict[str, Any]]()
    for combination in combined:
        base = {each.name: each.largest for each in mine} | dict(combination)
        for each in mine:
            for value in _values(each):
                values = base | {each.name: value}
                chosen[msgspec.json.encode(values).decode()] = values
    return [
        arguments.options(place, group, with_chosen(group, given, values), {}, model)
        for values in chosen.values() or ({},)
    ]


def _values(parameter: Parameter) -> Iterator[Any]:
    """All of them where there are few, else the ends."""
    low, high = parameter.low, parameter.high
    if parameter.whole and high - low < _EACH * (parameter.step or 1):
        return iter(range(int(low), int(high) + 1, int(parameter.step or 1)))
    return iter(parameter.values or (low, high))


def _parameter(place: str, name: Any, given: Any) -> Parameter:
    """One of the space, its values checked by the option that they are for."""
    group, dot, option = str(name).partition(".")
    if group not in (*GROUPS, NETWORK) or not dot or not option:
        known = [f"{each}.OPTION" for each in GROUPS] + [f"{NETWORK}.ARGUMENT"]
        fault = f"{name!r} names no option that can be searched"
        cure = suggest(group, (*GROUPS, NETWORK)) if dot else f"write {', '.join(known)}"
        raise UserError(place, fault, cure)
    if isinstance(given, list) and given:
        values = tuple(_checked(place, group, option, value) for value in given)
        told = [msgspec.json.encode(value) for value in values]
        for index, text in enumerate(told):
            if text in told[:index]:
                raise UserError(place, f"{name}: {given[index]!r} is in its list twice", "leave one of them out")
        return Parameter(name=name, values=values)
    if not isinstance(given, tuple) or len(given) not in (2, 3):
        cure = 'a list of values, (low, high), (low, high, "log") or (low, high, step)'
        raise UserError(place, f"{name}: {given!r} is no part of a space", f"write {cure}")
    return _range(place, name, given, [_checked(place, group, option, value) for value in given[:2]])


def _range(place: str, name: str, given: tuple[Any, ...], ends: Sequence[Any]) -> Parameter:
    """`ends`: the first two of `given` as the option's type."""
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in ends):
        raise UserError(place, f"{name}: {given!r} is no range of numbers", "write a list of values")
    (low, high), more = ends, given[2] if len(given) == 3 else None
    whole = isinstance(low, int) and isinstance(high, int)
    log, step = more == "log", None if more == "log" else more
    if not low < high or (log and low <= 0):
        fault = f"{name}: {given!r} is no range"
        raise UserError(place, fault, "choose low above 0" if low < high else "choose low below high")
    kind = int if whole else int | float
    if step is not None and (isinstance(step, bool) or not isinstance(step, kind) or not 0 < step <= high - low):
        number = "whole number" if whole else "number"
        raise UserError(place, f"{name}: {step!r} is no step", f'write "log" or a {number} that fits into the range')
    return Parameter(name=name, low=low, high=high, whole=whole, log=log, step=step)


def _checked(place: str, group: str, option: str, value: Any) -> Any:
    """A value as the option's type; of a table (stage.option.key) as that of an entry; for the network, any plain one,
    its tuples as lists."""
    if group == NETWORK:
        return _plain(place, f"{group}.{option}", value)
    table, dot, key = option.partition(".")
    if not dot:
        return arguments.option_value(place, group, option, value)
    arguments.require_table(place, group, table)
    entry = _plain(place, f"{group}.{option}", value)
    arguments.option_value(place, group, table, {key: entry})
    return entry


def _plain(place: str, name: str, value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(place, name, each) for each in value]
    if not isinstance(value, bool | int | float | str | None):
        raise UserError(place, f"{name}: {value!r} is no plain value", "write numbers or words")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(place, f"{name}: {value} is not a finite number", "write numbers or words")
    return value


def require_one_machine(place: str, group: str, every: Sequence[Options]) -> None:
    """Raises UserError for trials that others would have to help with."""
    if nodes := max(getattr(each, "nodes", 1) for each in every) - 1:
        fault = f"{group}: nodes={nodes + 1}, but each trial has one machine"
        raise UserError(place, fault, "leave nodes out, and let machines share the study by storage=")
