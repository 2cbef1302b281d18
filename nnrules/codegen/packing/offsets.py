"""The ``offsets`` int32 of all uneven loops, one after the other; nothing where every step is even."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter
from nnrules.graph.views import is_even


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Rearrange."""
    uneven = [each for each in operator.offsets if not is_even(each)]
    return {"offsets": np.concatenate(uneven)} if uneven else {}
