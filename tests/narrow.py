"""Layers whose outputs have few levels."""

from typing import Any

import numpy as np
from msgspec.structs import replace

from nnrules.graph.operator import Operator
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.thresholds import Thresholds


def narrowed(operator: Operator, bits: int, low: int) -> Operator:
    """With outputs of so many bits from ``low`` on, where the operator has a say in that; thresholds keep their own
    lowest level, if all levels are int8."""
    high = low + (1 << bits) - 1
    if isinstance(operator, Lookup):
        return replace(operator, table=folded(operator.table, bits, low))
    if "lo" in operator.__struct_fields__:
        return replace(operator, lo=low, hi=high)
    rule: Any = getattr(operator, "requantization", None)
    if isinstance(rule, Thresholds):
        return replace(operator, requantization=Thresholds(rule.values[:, : (1 << bits) - 1], rule.lo))
    return operator if rule is None else replace(operator, requantization=replace(rule, lo=low, hi=high))


def folded(values: np.ndarray, bits: int, low: int) -> np.ndarray:
    """int8 values of so many bits."""
    return (low + (values.astype(np.int64) + 128) % (1 << bits)).astype(np.int8)
