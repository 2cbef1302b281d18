"""The PyTorch engine: the operators' simulations on integer-valued tensors, on the CPU."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from nnrules.graph.ir import Graph, Tensor


def run(graph: Graph, samples: Mapping[str, npt.NDArray[np.int8]]) -> dict[str, npt.NDArray[np.int8]]:
    """Output of every node for int8 (N, ...) inputs, by PyTorch.

    Raises ValueError when a simulated tensor holds a value that is none of its type: it would be wrapped unseen.
    """
    import torch

    if graph.selector:
        return _by_format(graph, samples)
    values = {name: torch.from_numpy(array).to(torch.float64) for name, array in samples.items()}
    with torch.no_grad():
        for node in graph.nodes:
            values[node.output] = node.operator.simulate(torch, *(values[name] for name in node.inputs))
    return {node.output: _exact(graph.tensors[node.output], values[node.output].numpy()) for node in graph.nodes}


def _by_format(graph: Graph, samples: Mapping[str, npt.NDArray[np.int8]]) -> dict[str, npt.NDArray[np.int8]]:
    """The samples of each format by its program, brought back into their order."""
    import torch

    chosen = torch.from_numpy(samples[graph.selector]).reshape(-1)
    order = torch.argsort(chosen, stable=True)
    parts = []
    for number in torch.unique(chosen).tolist():
        mine = torch.nonzero(chosen == number).reshape(-1).numpy()
        own = {name: samples[name][mine] for name in graph.inputs}
        parts.append(run(graph.at(number), own))
    back = torch.argsort(order).numpy()
    return {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}


def _exact(tensor: Tensor, values: npt.NDArray[np.generic]) -> npt.NDArray[np.int8]:
    exact: npt.NDArray[np.int8] = values.astype(tensor.dtype)
    if not np.array_equal(exact, values):
        bits = exact.dtype.itemsize * 8
        raise ValueError(f"torch: tensor '{tensor.name}' holds values that are no {bits}-bit integers")
    return exact
