"""The operators, found by their files: each module here defines one ``Operator`` whose ``op`` is the module's name."""

import importlib
import pkgutil

from nnrules.graph.operator import Operator


def _discover() -> dict[str, type[Operator]]:
    found: dict[str, type[Operator]] = {}
    for module in pkgutil.iter_modules(__path__):
        members = vars(importlib.import_module(f"{__name__}.{module.name}")).values()
        found.update(
            {
                c.op: c
                for c in members
                if isinstance(c, type) and issubclass(c, Operator) and getattr(c, "op", "") == module.name
            }
        )
    return found


OPERATORS = _discover()
"""Operator class by its name in the graph."""

BY_ONNX_TYPE = {onnx_type: operator for operator in OPERATORS.values() for onnx_type in operator.onnx_types}
"""Operator class by the ONNX operator type that it lowers."""
