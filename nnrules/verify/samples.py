"""The held-out samples: M.samples.npz -> the graph's inputs."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnrules.error import UserError
from nnrules.graph.ir import Graph

COMPLETE = ".complete"  # an array of this name says that the file holds all samples that there are


def load(graph: Graph, path: Path, count: int) -> dict[str, npt.NDArray[np.int8]]:
    """The first `count` samples by input name, int8 (N, ...) NHWC; a graph with one input may call it "x" in the file.

    A file that holds all there are may have fewer. Raises UserError where an input is missing, has another type or
    shape than the graph's, or too few samples.
    """
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if len(graph.inputs) == 1 and "x" in arrays:
        arrays[graph.inputs[0]] = arrays["x"]
    for name in graph.arguments:
        if name not in arrays:
            cure = f"name the arrays after the model's inputs: {', '.join(graph.arguments)}"
            raise UserError(path.name, f"has no array '{name}'", cure)
        array, shape = arrays[name], graph.argument_shape(name)
        if array.dtype != np.int8 or array.shape[1:] != shape:
            fault = f"'{name}' is {array.dtype} {array.shape}, not int8 (N, {', '.join(map(str, shape))})"
            raise UserError(path.name, fault, "build the samples again")
        if len(array) < count and COMPLETE not in arrays:
            cure = "keep more (option 'count' of sample) or compare fewer (option 'host_samples' of verify)"
            raise UserError(path.name, f"'{name}' has {len(array)} samples, not the {count} that are wanted", cure)
    if graph.selector and not ((arrays[graph.selector] >= 0) & (arrays[graph.selector] < graph.formats)).all():
        fault = f"'{graph.selector}' holds others than the formats 0 to {graph.formats - 1}"
        raise UserError(path.name, fault, "build the samples again")
    return {name: arrays[name][:count] for name in graph.arguments}
