"""The numpy engine: every operator's exact reference, one node after the other."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nnrules.graph.ir import Graph


def run(graph: Graph, samples: Mapping[str, npt.NDArray[np.int8]]) -> dict[str, npt.NDArray[np.int8]]:
    """Output of every node for int8 (N, ...) inputs, by the operators' int64 numpy references."""
    values = graph.run(*(samples[name] for name in graph.arguments))
    return {node.output: values[node.output] for node in graph.nodes}
