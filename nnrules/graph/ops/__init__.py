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


def _by_onnx_type() -> dict[str, type[Operator]]:
    found: dict[str, type[Operator]] = {}
    for operator in OPERATORS.values():
        for onnx_type in operator.onnx_types:
            other = found.setdefault(onnx_type, operator)
            if other is not operator:
                raise ValueError(f"{onnx_type} is lowered by both {other.op} and {operator.op}")
    return found


OPERATORS = _discover()
"""Operator class by its name in the graph."""

BY_ONNX_TYPE = _by_onnx_type()
"""Operator class by the ONNX operator type that it lowers."""
