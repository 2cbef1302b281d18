"""Why a step runs: what differs from the last time that SCons's database knows of."""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nnrules.rules.prints import Prints

if TYPE_CHECKING:
    from nnrules.rules.step import Step

NEW, LOST = "it was not built here before", "an output was not there"
_SHOWN = 4  # of many alike


def reasons(
    step: "Step", children: Iterable[Any], prints: Prints, settled: Callable[[Any], bool] = lambda node: True
) -> list[str]:
    """At least one sentence. `children`: the nodes it depends on now; `settled`: whether one's file is up to date."""
    known = step.first.get_stored_info().binfo
    old = _identity(getattr(known, "bact", None))
    if old is None:
        return [NEW]
    found = changes(old, step.identity, prints)
    return [*found, *_files(known, children, settled)] or [LOST]


def _identity(text: str | None) -> dict[str, Any] | None:
    """What SCons kept of a step; None for what another builder made."""
    try:
        old = json.loads(text or "")
    except ValueError:
        return None
    return old if isinstance(old, dict) else None


def changes(old: Mapping[str, Any], new: Mapping[str, Any], prints: Prints) -> list[str]:
    """What differs between two identities of one step; their inputs are compared elsewhere."""
    found: list[str] = []
    for part in sorted({*old, *new} - {"inputs"}):
        then, now = old.get(part), new.get(part)
        if then == now:
            continue
        if part == "sources":
            found += prints.differences(str(then), str(now))
        elif isinstance(then, Mapping) and isinstance(now, Mapping):
            found += [
                f"{_SINGULAR.get(part, part)} {name}: {_text(then.get(name))} -> {_text(now.get(name))}"
                for name in sorted({*then, *now})
                if then.get(name) != now.get(name)
            ]
        elif isinstance(then, list) and isinstance(now, list):
            gone, come = [each for each in then if each not in now], [each for each in now if each not in then]
            found.append(f"{part}: {' '.join(map(_text, gone))} -> {' '.join(map(_text, come))}")
        else:
            found.append(f"{part}: {_text(then)} -> {_text(now)}")
    return found


_SINGULAR = {"options": "option", "libraries": "library", "tools": "tool", "references": "class"}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _files(known: Any, children: Iterable[Any], settled: Callable[[Any], bool]) -> list[str]:
    """Inputs that came, went or changed since `known`, SCons's record of the last build."""
    names = [str(each) for each in (*known.bsources, *known.bdepends, *known.bimplicit)]
    then = dict(zip(names, (*known.bsourcesigs, *known.bdependsigs, *known.bimplicitsigs), strict=True))
    changed, new = list[str](), list[str]()
    for node in dict.fromkeys(children):
        before = then.pop(str(node), None)
        if before is None:
            new.append(str(node))
        elif not settled(node) or getattr(before, "csig", None) != node.get_csig():
            changed.append(str(node))
    parts = ((changed, "changed"), (new, "is new"), (list(then), "is no longer an input"))
    return [sentence for files, what in parts for sentence in _some(files, what)]


def _some(files: list[str], what: str) -> list[str]:
    told = [f"{name} {what}" for name in files[:_SHOWN]]
    return [*told, f"{len(files) - _SHOWN} more like it"] if len(files) > _SHOWN else told
