"""Weights without the vectors that are zero, see nnrules.graph.sparse.

``weights`` (vectors, n) int8, or with the kernel's parameter ``coded`` uint8 (vectors, n / 8, bits), see codes;
``kept`` uint16 (out channels,): how many vectors each filter has; ``starts`` uint16 (vectors,): where they begin in a
window (kernel height, kernel width, in channels). The bias has the zero point folded in.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nnrules.codegen.packing import Constants, linear_constants
from nnrules.codegen.packing.codes import packed
from nnrules.graph.operator import Parameter
from nnrules.graph.sparse import kept


def pack(operator: Any, parameters: Mapping[str, Parameter]) -> Constants:
    """For Conv2d of one group."""
    n = int(parameters["n"] or operator.weights.shape[3])  # type: ignore[arg-type]
    flat = operator.weights.reshape(len(operator.weights), -1, n)
    there = kept(operator.weights, n)
    vectors = flat[there]
    weights = packed(vectors, parameters) if parameters["coded"] else vectors
    rest = linear_constants(operator, weights, operator.folded_bias(), np.arange(len(flat)))
    return {
        "weights": rest.pop("weights"),
        "kept": there.sum(1).astype(np.uint16),
        "starts": (np.nonzero(there)[1] * n).astype(np.uint16),
        **rest,
    }
