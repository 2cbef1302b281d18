"""``gain`` int16 and ``bias`` int32, one of each for every position."""

from collections.abc import Mapping
from typing import Any

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For LayerNorm."""
    return {"gain": operator.gain, "bias": operator.bias}
