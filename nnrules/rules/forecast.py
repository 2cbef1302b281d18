"""What a build would do, without doing it: which steps are current, which the cache has, which would run, and why."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from nnrules.rules.explain import LOST, reasons
from nnrules.rules.keys import Key, Keys, read
from nnrules.rules.prints import Prints
from nnrules.rules.step import Step

CURRENT, CACHED, RUN = "current", "cached", "run"
_BLOB_LIMIT = 1 << 24  # bytes of an output that is looked into


class Store(Protocol):
    """What a forecast asks of the cache."""

    def lookup(self, key: str) -> Any:
        """The entry of a key, None where there is none."""

    def blob(self, digest: str, limit: int) -> bytes | None:
        """The content of an output."""


class Outlook(msgspec.Struct, frozen=True):
    """`state`: current, cached or run; `why`: not current; `digests`: of the outputs by name, none where it runs;
    `key`: of a step that is not current, where it can be known; `roots`: of a step that follows from others that run,
    those that run for reasons of their own."""

    state: str
    why: list[str] = msgspec.field(default_factory=list)
    digests: Mapping[str, str] = msgspec.field(default_factory=dict)
    roots: tuple[Step, ...] = ()
    key: Key | None = None


class Forecast:
    """Asks of each step once, those that it needs first. A step after one that runs counts as run, although it may
    turn out current when that gives what it gave before."""

    def __init__(
        self, steps: Iterable[Step], keys: Keys, cache: Store | None, prints: Prints, lost: Collection[str]
    ) -> None:
        self._keys, self._cache, self._prints, self._lost = keys, cache, prints, lost
        self._makers = {node: (step, name) for step in steps for name, node in step.outputs.items()}
        self._known: dict[Step, Outlook] = {}

    def of(self, step: Step) -> Outlook:
        """What would become of a step."""
        if step not in self._known:
            self._known[step] = self._ask(step)
        return self._known[step]

    def _ask(self, step: Step) -> Outlook:
        children = self._children(step)
        running = [maker for node in children if (maker := self._maker(node)) and self.of(maker).state == RUN]
        if running:
            roots = dict.fromkeys(root for maker in running for root in self.of(maker).roots or (maker,))
            return Outlook(RUN, [f"follows from {root.label}" for root in roots], roots=tuple(roots))
        why = reasons(step, children, self._prints, self._unchanged)
        if why == [LOST] and all(map(self._there, step.outputs.values())):
            return Outlook(CURRENT, [], {name: self._keys.digest(node) for name, node in step.outputs.items()})
        key = self._keys.predicted(step, self._digest, self._content)
        entry = self._cache.lookup(key.digest) if key and self._cache else None
        if entry is None:
            return Outlook(RUN, why, key=key)
        digests = {each.name: each.sha256 for each in entry.outputs}
        return Outlook(CACHED if digests.keys() == step.outputs.keys() else RUN, why, digests, key=key)

    def _there(self, node: Any) -> bool:
        """Whether an output exists; what a killed build made is removed before the next one."""
        return node.get_internal_path() not in self._lost and Path(str(node)).is_file()

    def _children(self, step: Step) -> list[Any]:
        given = [node for nodes in step.inputs.values() for node in nodes]
        return list(dict.fromkeys([*given, *step.implicit(self._content)]))

    def _maker(self, node: Any) -> Step | None:
        return self._makers[node][0] if node in self._makers else None

    def _digest(self, node: Any) -> str | None:
        """SHA-256 of what the node will hold."""
        if node in self._makers:
            step, name = self._makers[node]
            return self.of(step).digests.get(name)
        return self._keys.digest(node) if Path(node.get_abspath()).is_file() else None

    def _content(self, node: Any) -> bytes | None:
        """The bytes that the node will hold, where the disk or the cache has them."""
        digest, there = self._digest(node), Path(node.get_abspath()).is_file()
        if digest is None or (there and self._keys.digest(node) == digest):
            return read(node) if digest else None
        return self._cache.blob(digest, _BLOB_LIMIT) if self._cache else None

    def _unchanged(self, node: Any) -> bool:
        """Whether the file is already what it will be, so that SCons's own signature of it tells of changes."""
        return Path(node.get_abspath()).is_file() and self._keys.digest(node) == self._digest(node)
