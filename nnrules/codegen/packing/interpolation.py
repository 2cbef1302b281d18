"""``rows`` int32 (output height, 3) and ``columns`` (output width, 3): two offsets in x, the weight of the second."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For ResizeLinear."""
    width, channels = int(parameters["in_w"]), int(parameters["in_c"])  # type: ignore[arg-type]
    steps = {"rows": width * channels, "columns": channels}
    return {
        name: (getattr(operator, name) * np.array([step, step, 1])).astype(np.int32) for name, step in steps.items()
    }
