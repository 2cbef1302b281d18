"""What env.NNModel gives: objects of the user's own environment, and the C for those who compile it otherwise."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from SCons.Node import NodeList

from nnrules.rules.foreign.isa import Features

Declare = Callable[[], list[Any]]


class NNModel(NodeList):
    """The object files, declared when they are first looked at: who compiles `sources` himself gets none.

    sources, headers: plain lists of nodes; nothing can be made of them before the proof. include: the absolute path of
    their folder. isa: the features that they are for. figures: the node of <model>.json.
    """

    sources: list[Any]
    headers: list[Any]
    include: str
    isa: Features
    figures: Any

    def __init__(self, nodes: Iterable[Any] = (), declare: Declare | None = None, **facts: Any) -> None:
        self._nodes, self._declare = list(nodes), declare
        self.__dict__.update(facts)

    @property
    def data(self) -> list[Any]:
        """The objects, where SCons's lists keep them."""
        if self._declare is not None:
            self._nodes, self._declare = self._declare(), None
        return self._nodes

    @property
    def objects(self) -> list[Any]:
        """The objects as a plain list."""
        return list(self.data)


class Objects:
    """Every object declared so far, so that two environments do not meet in one file."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[Any, Any]] = {}

    def of(self, env: Any, source: Any, folder: Path) -> Any:
        """The node of `source` compiled by `env`, in `folder` (from the top) or, where another environment has that
        name there, in a numbered folder below it."""
        prefix, suffix = env.subst("$OBJPREFIX"), env.subst("$OBJSUFFIX")
        for number in itertools.count(1):
            place = folder if number == 1 else folder / str(number)
            name = f"#{place}/{Path(source.name).stem}{suffix}"
            owner, node = self._known.get((prefix, name), (None, None))
            if owner is None:
                (node,) = env.Object(name, source)
                self._known[prefix, name] = env, node
            if owner is None or owner is env:
                return node
        raise AssertionError("unreachable")
