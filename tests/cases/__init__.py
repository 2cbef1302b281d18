"""Hypothesis strategies of single layers, found by their files: ``<op>.py`` defines ``cases()`` of that operator."""

import importlib
import pkgutil

from hypothesis import strategies as st

from tests.cases.case import Case

_NAMES = [module.name for module in pkgutil.iter_modules(__path__) if module.name not in ("case", "graphs")]

CASES: dict[str, st.SearchStrategy[Case]] = {
    name: importlib.import_module(f"{__name__}.{name}").cases() for name in _NAMES
}
"""A strategy for each operator, by the operator's name."""

WITH_KERNELS = {name: cases for name, cases in CASES.items() if name != "reshape"}
"""The same without the operator that moves nothing."""
