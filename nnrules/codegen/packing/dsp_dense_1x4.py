"""The stream of constants of nn_dense_1x4 in nn_dsp_dense.h: that of dsp_dense in tiles of four channels.

Taps are padded with zeros to a multiple of eight.
"""

from collections.abc import Mapping
from typing import Any

from nnrules.codegen.packing import Constants
from nnrules.codegen.packing.dsp_dense import stream
from nnrules.graph.operator import Parameter


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For FullyConnected."""
    return {"stream": stream(operator, operator.weights, 4, 8, bool(parameters["wide"]), True)}
