"""Weight layouts: one module per layout, found by its name in a kernel's description.

Each has ``pack(operator, parameters) -> dict[str, numpy.ndarray]``: the constants a kernel takes, in the order of its C
arguments. Channel constants (bias, multiplier, shift) are as long as the padded output channels, the padding all zeros.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.graph.operator import Operator, Parameter
from nnrules.graph.requant import INT32_LIMIT
from nnrules.graph.thresholds import Thresholds

Constants = dict[str, np.ndarray]


def pack(packing: str | None, operator: Operator, parameters: Mapping[str, Parameter]) -> Constants:
    """The constants of a layer in a layout (none for ``packing`` None), C-contiguous, in argument order."""
    if packing is None:
        return {}
    constants: Constants = importlib.import_module(f"{__name__}.{packing}").pack(operator, parameters)
    return {name: np.ascontiguousarray(array) for name, array in constants.items()}


def linear_constants(operator: Any, weights: np.ndarray, bias: np.ndarray, channels: np.ndarray) -> Constants:
    """Packed weights, then bias, multiplier and (if any) shift in the order of ``channels``, where -1 is padding.

    Where outputs are made by thresholds: the weights, then these less the bias, int32 (channels, levels - 1).
    """
    return {"weights": weights, **{name: _ordered(each, channels) for name, each in _rule(operator, bias).items()}}


def _rule(operator: Any, bias: np.ndarray) -> Constants:
    rule = operator.requantization
    if isinstance(rule, Thresholds):
        edges = rule.values.astype(np.int64) - bias[:, np.newaxis]
        return {"thresholds": edges.clip(-INT32_LIMIT, INT32_LIMIT - 1).astype(np.int32)}
    return {"bias": bias, "multiplier": rule.multiplier, **({"shift": rule.shift} if rule.has_shift else {})}


def _ordered(array: np.ndarray, channels: np.ndarray) -> np.ndarray:
    found = array[channels]
    found[channels < 0] = 0
    return found
