"""``multiplier`` int32 and, if any is needed, ``shift`` uint8 of the negative values, one for each channel."""

from collections.abc import Mapping
from typing import Any

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Prelu."""
    rule = operator.negative
    constants = {"multiplier": rule.multiplier}
    return {**constants, "shift": rule.shift} if rule.has_shift else constants
