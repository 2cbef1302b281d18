"""Heavy stages take slots of a resource, so that only so many of them run at once while light ones go on.

SCons never runs two steps at once that share a side effect: a slot is one. A resource of capacity n has n slots, a
stage that needs k of them takes the k next ones in turn.
"""

import os
from collections.abc import Mapping
from typing import Any

from nnrules.catalog.checked import parse_size
from nnrules.error import UserError
from nnrules.rules.failure import caller

_GIB = 1 << 30


class Slots:
    """`capacities`: what there is, `{"gpu": 2, "memory": "16 GB"}`; gpu 1 and memory the machine's unless told."""

    def __init__(self, capacities: Mapping[str, Any]) -> None:
        defaults = {"gpu": 1, "memory": _memory()}
        self._capacities = defaults | {name: _count(name, value) for name, value in capacities.items()}
        self._next = dict.fromkeys(self._capacities, 0)

    def checked(self, needs: Mapping[str, Any]) -> dict[str, int]:
        """How many slots of each resource; memory counts in GiB. Raises UserError for more than there are."""
        counts = {name: _count(name, value) for name, value in needs.items()}
        for name, count in counts.items():
            there_are = self._capacities.setdefault(name, 1)
            if count > there_are:
                unit = " GiB" if name == "memory" else ""
                fault = f"needs {count}{unit} of {name!r}, the build has {there_are}{unit}"
                raise UserError(caller(), fault, "lower it, or say in Project(resources={...}) what there is")
        return counts

    def take(self, needs: Mapping[str, int]) -> list[str]:
        """The names of the slots of one stage."""
        taken = []
        for name, count in needs.items():
            first = self._next.get(name, 0)
            taken += [f"{name}{(first + index) % self._capacities[name]}" for index in range(count)]
            self._next[name] = first + count
        return taken


def _count(name: str, value: Any) -> int:
    if name == "memory":
        return max(1, -(-parse_size(f"resource {name}", value) // _GIB))
    if isinstance(value, bool) or not isinstance(value, int) or value < 1 or not name.isidentifier():
        raise UserError(caller(), f"resource {name!r}: {value!r} is not a count", "write a whole number, 1 or more")
    return value


def _memory() -> int:
    """GiB of this machine."""
    return max(1, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _GIB)
