"""Two logs of `--cache-log`: which component made a step's key another one, and which steps only follow."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nnrules.error import UserError

_FORMAT = 1
_SINGULAR = {
    "options": "option",
    "libraries": "library",
    "references": "reference",
    "tools": "tool",
    "files": "file",
    "inputs": "input",
}
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b")
_CURE = "write it with scons --cache-log=FILE"


class Record(msgspec.Struct, frozen=True):
    """A step of a build. `key` and `components` are None where the build did not come so far; `modules`: digests of the
    Python files behind the component `sources`, by name; `outputs`: digests."""

    label: str
    key: str | None = None
    components: dict[str, Any] | None = None
    modules: dict[str, str] = {}
    outputs: dict[str, str] = {}


class _Inputs(msgspec.Struct, frozen=True):
    """The only component that must be of one form."""

    inputs: dict[str, list[str]] = {}


class _Log(msgspec.Struct, frozen=True):
    format: int
    steps: list[Record]


Steps = dict[str, Record]


def compare(first: Path, second: Path) -> str:
    """A line for each cause, in the order of the second log, and lines with counts. Raises UserError."""
    then, now = _read(first), _read(second)
    both = [label for label in now if label in then]
    other = [label for label in both if then[label].key != now[label].key]
    differences = _Differences(then, now)
    causes = {label: differences.causes(label) for label in other}
    lines = [f"{label}: {text}" for label, texts in causes.items() for text in texts]
    if following := sum(not texts for texts in causes.values()):
        lines.append(f"and {following} steps that follow" if following > 1 else "and 1 step that follows")
    lines += [f"{label}: only in {first}" for label in then if label not in now]
    lines += [f"{label}: only in {second}" for label in now if label not in then]
    if other:
        lines.append(f"{len(other)} of {len(both)} steps have another key")
    else:
        lines.append(f"all {len(both)} steps have the same key" if both else "no step is in both logs")
    return "\n".join(lines)


class _Differences:
    """Steps by label, of both builds."""

    def __init__(self, then: Steps, now: Steps) -> None:
        self._then, self._now = then, now
        self._makers = [_makers(then), _makers(now)]
        self._known: dict[str, tuple[list[str], list[str]]] = {}

    def causes(self, label: str) -> list[str]:
        """Its own ones, and the steps from which it follows besides; none where it only follows."""
        own, origins = self._split(label)
        return [*own, *([f"follows from {', '.join(origins)}"] if own and origins else [])]

    def _split(self, label: str) -> tuple[list[str], list[str]]:
        """Causes of a step's own, and the steps with such causes that its inputs come from."""
        if label not in self._known:
            self._known[label] = [], []  # a log can be made so that steps follow from each other
            self._known[label] = self._find(self._then[label], self._now[label])
        return self._known[label]

    def _find(self, then: Record, now: Record) -> tuple[list[str], list[str]]:
        if then.components is None or now.components is None:
            return ["its key is not known in one of the builds, which did not come so far"], []
        own = [text for part in _parts(then, now) for text in _told(part, then, now)]
        origins: list[str] = []
        old, new = (each.components.get("inputs") or {} for each in (then, now) if each.components)
        for name in dict.fromkeys((*old, *new)):
            texts, made_by = self._input(name, _texts(old.get(name)), _texts(new.get(name)))
            own += texts
            origins = list(dict.fromkeys([*origins, *made_by]))
        if not own and not origins:
            own = ["its components are the same; one of the logs was changed"]
        return own, origins

    def _input(self, name: str, old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
        """Causes in one input: texts, and labels of steps where the cause lies with them."""
        gone, come = list((Counter(old) - Counter(new)).elements()), list((Counter(new) - Counter(old)).elements())
        makers = {self._makers[0].get(each) for each in gone} | {self._makers[1].get(each) for each in come}
        if not gone and not come:
            return ([f"input {name}: another order"] if old != new else []), []
        if None in makers or len(gone) != len(come):
            return [f"input {name}: {_list(gone)} -> {_list(come)}"], []
        texts, labels = [], []
        for label in sorted(filter(None, makers)):
            if label not in self._then or label not in self._now:
                texts.append(f"input {name}: made by {label} in one build only")
            elif self._then[label].key == self._now[label].key:
                texts.append(f"input {name}: {label} made another one, though its key is the same")
            else:
                own, origins = self._split(label)
                labels += [*origins, label] if own else origins
        return texts, labels


def _makers(steps: Steps) -> dict[str, str]:
    """Which step made an output, by digest."""
    return {digest: label for label, record in steps.items() for digest in record.outputs.values()}


def _parts(then: Record, now: Record) -> Iterator[str]:
    yield from (part for part in {**(then.components or {}), **(now.components or {})} if part != "inputs")


def _told(part: str, then: Record, now: Record) -> Iterator[str]:
    """What differs in one component; Python files by their names, where both logs have those."""
    old, new = then.components or {}, now.components or {}
    if (
        part == "sources"
        and old.get(part) != new.get(part)
        and then.modules
        and now.modules
        and now.modules != then.modules
    ):
        yield from _files(then.modules, now.modules)
    else:
        yield from _changes(part, old, new)


def _files(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({**old, **new}):
        if old.get(name) != new.get(name):
            yield f"{name} {'is new' if name not in old else 'is no longer used' if name not in new else 'changed'}"


def _changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """What differs in one component, down to the smallest part that has a name."""
    then, now = old.get(name), new.get(name)
    if then == now:
        return
    if isinstance(then or now, dict) and isinstance(then or {}, dict) and isinstance(now or {}, dict):
        inner = f"{prefix}{_SINGULAR.get(name, name)} " if not prefix else f"{prefix}{name}."
        for each in sorted({**(then or {}), **(now or {})}):
            yield from _changes(each, then or {}, now or {}, inner)
    elif isinstance(then, list) and isinstance(now, list):
        gone, come = [each for each in then if each not in now], [each for each in now if each not in then]
        yield f"{prefix}{name}: {_list(gone)} -> {_list(come)}" if gone or come else f"{prefix}{name}: another order"
    else:
        yield f"{prefix}{name}: {_shown(old, name)} -> {_shown(new, name)}"


def _shown(values: Mapping[str, Any], name: str) -> str:
    return _text(values[name]) if name in values else "(none)"


def _list(values: list[Any]) -> str:
    return " ".join(map(_text, values)) or "(none)"


def _text(value: Any) -> str:
    """Digests are shortened."""
    return _DIGEST.sub(r"\1", value if isinstance(value, str) else json.dumps(value, sort_keys=True))


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [] if value is None else [str(value)]


def _read(path: Path) -> Steps:
    """The steps by label; a second one of a label gets a number. Raises UserError."""
    try:
        log = msgspec.json.decode(path.read_bytes(), type=_Log)
        for record in log.steps:
            msgspec.convert(record.components or {}, _Inputs)
    except OSError as fault:
        raise UserError(str(path), f"cannot be read ({fault.strerror})", _CURE) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise UserError(str(path), f"is no cache log ({fault})", _CURE) from None
    if log.format != _FORMAT:
        cure = "compare logs that one version of nnrules wrote"
        raise UserError(str(path), f"has format {log.format}, not {_FORMAT}", cure)
    steps: Steps = {}
    for record in log.steps:
        label, number = record.label, 1
        while label in steps:
            number += 1
            label = f"{record.label} ({number})"
        steps[label] = record
    return steps
