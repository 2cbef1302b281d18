"""Programs of several formats: joined to one graph, and which format is a sample's.

The formats of a network differ in the scales of its activations, and so in biases and multipliers; a table has a row
for each format, and the selector, a further input of one int8, picks the row.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node, Tensor, by_format, differences

# Which format is a sample's.


def reaches(tensor: Tensor) -> list[float]:
    """The largest magnitude that an input has in each format, beyond which it saturates by more than one step."""
    return [(128 - tensor.zero_point) * scale for scale in tensor.scales]


def choose_formats(graph: Graph, real: np.ndarray) -> np.ndarray:
    """int8 (batch, 1): of each sample (batch, ...) the first format that reaches its largest magnitude, else the last.

    An input with the zero point -128 has no negative values: these do not count.
    """
    tensor = graph.tensors[graph.inputs[0]]
    flat = real.reshape(len(real), -1)
    largest = (flat if tensor.zero_point == -128 else np.abs(flat)).max(1, keepdims=True)
    beyond = (largest > np.array(reaches(tensor))).sum(1, keepdims=True)
    return np.minimum(beyond, graph.formats - 1).astype(np.int8)


def lit_through(graph: Graph, real: np.ndarray) -> np.ndarray:
    """Samples of a graph of several formats made brighter and darker, so that all formats have their turn: the first
    keeps its own, the next is one format brighter than its own, and so on; the darkest follows the brightest.
    """
    own, reach = (
        choose_formats(graph, real).reshape(-1).astype(np.int64),
        np.array(reaches(graph.tensors[graph.inputs[0]])),
    )
    factors = reach[(own + np.arange(len(own))) % graph.formats] / reach[own]
    return (real * factors.reshape(-1, *[1] * (real.ndim - 1))).astype(real.dtype)


def quantized_inputs(graph: Graph, batch: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Real arrays in the layout of the ONNX file -> int8 (batch, ...) NHWC by name, the selector among them."""
    arrays = dict(zip(graph.inputs, batch, strict=True))
    if graph.selector:
        chosen = {graph.selector: choose_formats(graph, batch[0])}
        return by_format(graph, arrays | chosen, lambda own, part: quantized_inputs(own, list(part.values()))) | chosen
    tensors = graph.tensors
    return {name: tensors[name].to_nhwc(tensors[name].quantize(each)) for name, each in arrays.items()}


def real_outputs(graph: Graph, integers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Integers of any tensors by name, in any layout, and the selector where there is one -> float32."""
    if graph.selector:
        return by_format(graph, integers, real_outputs)
    return {name: graph.tensors[name].dequantize(each) for name, each in integers.items()}


# One graph of several.


def joined(graphs: Sequence[Graph], selector: str) -> Graph:
    """The graph that is graph s in format s. Raises UserError where they differ in more than scales and constants."""
    first = graphs[0]
    for graph in graphs[1:]:
        ways = [[(n.name, n.operator.op, n.inputs, n.output) for n in each.nodes] for each in (first, graph)]
        points = [[(t.name, t.shape, t.zero_point) for t in each.tensors.values()] for each in (first, graph)]
        if ways[0] != ways[1] or points[0] != points[1]:
            fault = "its layers are not the same in every format"
            raise UserError(first.name, fault, "take another method of quantization")
    tensors = {
        name: msgspec.structs.replace(tensor, scales=tuple(graph.tensors[name].scale for graph in graphs))
        for name, tensor in first.tensors.items()
    }
    nodes = tuple(_joined(nodes) for nodes in zip(*(graph.nodes for graph in graphs), strict=True))
    return msgspec.structs.replace(first, tensors=tensors, nodes=nodes, selector=selector, formats=len(graphs))


def _joined(nodes: tuple[Node, ...]) -> Node:
    node = msgspec.structs.replace(nodes[0], formats=tuple(each.operator for each in nodes))
    return node if any(differences(node)) else nodes[0]
