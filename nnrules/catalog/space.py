"""What a search chooses: options of stages and arguments of the network, and the file that says what it chose."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

NETWORK = "network"  # the group of a network's constructor arguments
_GROUPS = {"fit": "quantize", "allot": "quantize"}


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """`name`: STAGE.OPTION or network.ARGUMENT. One of `values`; where there are none, a number from `low` to `high`,
    both included, a `whole` one or not, on a logarithmic scale (`log`) or in steps of `step`."""

    name: str
    values: tuple[Any, ...] = ()
    low: int | float = 0
    high: int | float = 0
    whole: bool = False
    log: bool = False
    step: int | float | None = None

    @property
    def group(self) -> str:
        """The stage, or `network`."""
        return self.name.partition(".")[0]

    @property
    def option(self) -> str:
        """The name within its group."""
        return self.name.partition(".")[2]

    @property
    def least(self) -> Any:
        """The smallest number, the first word."""
        numbers = [each for each in self.values if isinstance(each, int | float)]
        return min(numbers) if numbers else self.values[0] if self.values else self.low

    @property
    def largest(self) -> Any:
        """The largest number, the last word."""
        numbers = [each for each in self.values if isinstance(each, int | float)]
        return max(numbers) if numbers else self.values[-1] if self.values else self.high


def group_of(verb: str) -> str:
    """Under which name a SConscript gives a stage its options."""
    return _GROUPS.get(verb, verb)


def with_chosen(group: str, values: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's options as plain data with what was chosen (by parameter name) in their place; of an option that is a
    table of its own, stage.option.key, that entry."""
    found = dict(values)
    for name, value in chosen.items():
        owner, _, option = name.partition(".")
        if owner != group:
            continue
        outer, _, inner = option.partition(".")
        found[outer] = {**(found.get(outer) or {}), inner: value} if inner else value
    return found


def arguments_of(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """What the network is constructed with."""
    return with_chosen(NETWORK, {}, chosen)


def read_best(path: Path) -> dict[str, Any]:
    """What a search chose, by parameter name: its file `*.best.json`."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
