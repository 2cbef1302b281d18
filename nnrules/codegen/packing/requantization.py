"""Only ``multiplier`` int32 and, if any is needed, ``shift`` uint8, as the operator holds them."""

from collections.abc import Mapping
from typing import Any

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For AveragePool2d."""
    requantization = operator.requantization
    constants = {"multiplier": requantization.multiplier}
    return {**constants, "shift": requantization.shift} if requantization.has_shift else constants
