"""Weight layouts: one module per layout, found by its name in a kernel's description.

Each has ``pack(operator, parameters) -> dict[str, numpy.ndarray]``: the constants a kernel takes, in the order of its C
arguments. Channel constants (bias, multiplier, shift) are as long as the padded output channels, the padding all zeros.
"""

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.graph.operator import Operator, Parameter

Constants = dict[str, np.ndarray]


def pack(packing: str | None, operator: Operator, parameters: Mapping[str, Parameter]) -> Constants:
    """The constants of a layer in a layout (none for ``packing`` None), C-contiguous, in argument order."""
    if packing is None:
        return {}
    constants: Constants = importlib.import_module(f"{__name__}.{packing}").pack(operator, parameters)
    return {name: np.ascontiguousarray(array) for name, array in constants.items()}


def linear_constants(operator: Any, weights: np.ndarray, bias: np.ndarray, channels: np.ndarray) -> Constants:
    """Packed weights, then bias, multiplier and (if any) shift in the order of ``channels``, where -1 is padding."""
    requantization = operator.requantization
    constants = {"weights": weights, "bias": bias, "multiplier": requantization.multiplier}
    if requantization.has_shift:
        constants["shift"] = requantization.shift
    return {
        name: array if name == "weights" else np.where(channels < 0, 0, array[channels]).astype(array.dtype)
        for name, array in constants.items()
    }
