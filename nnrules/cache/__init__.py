"""The artifact cache: one entry a build step, on this machine and at a server that a team shares.

    local or remote   ac/<key>       which files the step made: name, SHA-256, size, executable or not; and its seconds
                      cas/<SHA-256>  the content of a file

A local store has a folder for the first two digits of each name. Light to import: what talks to a network is imported
where it does.
"""

import importlib
from typing import TYPE_CHECKING, Any

from nnrules.cache.settings import DEFAULT, Settings, settings

if TYPE_CHECKING:
    from nnrules.cache.cache import Cache, Restored
    from nnrules.cache.entry import Entry, Output
    from nnrules.cache.summary import Summary

__all__ = ["DEFAULT", "Cache", "Entry", "Output", "Restored", "Settings", "Summary", "settings"]

_MODULES = {"Cache": "cache", "Restored": "cache", "Entry": "entry", "Output": "entry", "Summary": "summary"}


def __getattr__(name: str) -> Any:
    """What only a build with something to do needs is imported then."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"nnrules.cache.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
