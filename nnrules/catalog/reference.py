"""The tables of options in docs/lightweight.md: `python -m nnrules.catalog.reference docs/lightweight.md` renews them.

What an option does is written in the page, in the last column; the rest follows from the stages and the methods' files.
A table is known by the first cell of its head: the name of the step, in backquotes.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

from nnrules.catalog import pruners, quantizers
from nnrules.catalog.paths import PACKAGE
from nnrules.catalog.stages import (
    Options,
    PruneOptions,
    QuantizeOptions,
    Recipe,
    SearchOptions,
    TrainOptions,
    default_of,
)

_BOUNDS = {"gt": "above {:g}", "ge": "from {:g}", "lt": "below {:g}", "le": "to {:g}"}
_PLAIN = {int: "whole number", float: "number", bool: "True, False", str: "text"}
_FOUND = {
    name: sorted(path.stem for path in (PACKAGE / f"training/{name}s").glob("[!_]*.py"))
    for name in ("optimizer", "schedule")
}
_BASES = [name for name in quantizers.methods() if quantizers.method(name).is_base]


class _Table(msgspec.Struct, frozen=True):
    """Of a step: its options but those that are as in `base`; `users`: the methods that have an option; `names`: what
    those may be that name a file."""

    options: type[Options]
    base: type[Options] | None = None
    users: Callable[[str], str] | None = None
    names: Mapping[str, Sequence[str]] = {}


def _of_pruners(option: str) -> str:
    return ", ".join(pruners.users(option)) or "all"


def _of_quantizers(option: str) -> str:
    """The two kinds by their names, the others one by one."""
    known = [quantizers.method(name) for name in quantizers.methods()]
    users = quantizers.users(option)
    if len(users) == len(known):
        return "all"
    kinds = {"trained": [each.name for each in known if each.trains]}
    kinds["calibrated"] = [each.name for each in known if each.ranges]
    found = [kind for kind, names in kinds.items() if set(names) <= set(users)]
    return ", ".join([*found, *(name for name in users if not any(name in kinds[kind] for kind in found))])


TABLES: Mapping[str, _Table] = {
    "Train": _Table(TrainOptions, names=_FOUND),
    "Prune": _Table(PruneOptions, Recipe, _of_pruners, {"method": pruners.methods()}),
    "Quantize": _Table(QuantizeOptions, Recipe, _of_quantizers, {"method": quantizers.methods(), "base": _BASES}),
    "Search": _Table(SearchOptions),
}


def table(step: str, meanings: Mapping[str, str]) -> str:
    """Markdown, an option a line; `meanings`: what is written of each, empty where it is not there."""
    known = TABLES[step]
    base = {each.name: each.default for each in msgspec.structs.fields(known.base)} if known.base else {}
    heads = [f"`{step}`", "values", "default", *(["methods"] if known.users else []), "what it does"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in msgspec.structs.fields(known.options):
        if each.name in base and base[each.name] == each.default:
            continue
        values = ", ".join(known.names[each.name]) if each.name in known.names else _values(each.type)
        cells = [f"`{each.name}`", values, f"`{default_of(each)!r}`"]
        cells += [known.users(each.name)] if known.users else []
        lines.append(f"| {' | '.join([*cells, meanings.get(each.name, '')])} |")
    return "\n".join(lines)


def renewed(page: str) -> str:
    """A page with the tables that it holds as they are now."""
    for step in TABLES:
        head = f"| `{step}` |"
        before, found, rest = page.partition(head)
        if found:
            old, gap, after = rest.partition("\n\n")
            page = f"{before}{table(step, written(head + old))}{gap}{after}"
    return page


def written(text: str) -> dict[str, str]:
    """The last cell of each line of a table, by the option in its first."""
    rows = [line.strip("|").split(" | ") for line in text.splitlines()[2:]]
    return {cells[0].strip(" `"): cells[-1].strip() for cells in rows}


def _values(kind: Any) -> str:
    """What an option may be, in words."""
    parts = get_args(kind) if type(None) in get_args(kind) else (kind,)
    return ", ".join(_described(each) for each in parts if each is not type(None))


def _described(kind: Any) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if get_origin(kind) is Literal:
        return ", ".join(each or '""' for each in get_args(kind))
    if limits := next((each for each in getattr(kind, "__metadata__", ()) if isinstance(each, Meta)), None):
        inner = get_args(kind)[0]
        bounds = {name: getattr(limits, name) for name in _BOUNDS}
        told = " ".join(_BOUNDS[name].format(value) for name, value in bounds.items() if value is not None)
        return f"{_PLAIN[inner]} {told}"
    return {tuple: "names", dict: "pairs of bits by layer"}.get(get_origin(kind) or kind, "options")


if __name__ == "__main__":
    page_file = Path(sys.argv[1])
    page_file.write_text(renewed(page_file.read_text(encoding="utf-8")), encoding="utf-8")
