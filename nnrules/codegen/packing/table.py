"""The operator's 256-entry ``table``."""

from collections.abc import Mapping
from typing import Any

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Lookup (int8) and Softmax (uint32)."""
    return {"table": operator.table}
