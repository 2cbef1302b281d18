"""Programs of several formats: joined to one graph, as one QDQ model with tables, and which format is a sample's.

The formats of a network differ in the scales of its activations, and so in biases and multipliers; a table has a row
for each format, and the selector, a further input of one int8, picks the row.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnrules.catalog.names import FORMATS
from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node, Tensor, by_format, differences

INDEX = "formats/index"
TABLE = "formats/table"


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


# One QDQ model of several.


def tabled(models: Sequence[onnx.ModelProto], selector: str) -> onnx.ModelProto:
    """The models, which have the same nodes, as one: initializers that differ become rows of tables.

    The selector is an int8 input of one element. Raises ArithmeticError where the nodes differ.
    """
    first = models[0]
    if any(list(model.graph.node) != list(first.graph.node) for model in models):
        raise ArithmeticError("the formats' models do not have the same nodes")
    arrays = [{each.name: numpy_helper.to_array(each) for each in model.graph.initializer} for model in models]
    result = onnx.ModelProto()
    result.CopyFrom(first)
    body = result.graph
    body.input.append(helper.make_tensor_value_info(selector, TensorProto.INT8, [1]))
    nodes = [
        helper.make_node("Squeeze", [selector], [f"{INDEX}/int8"], name=f"{INDEX}/squeeze"),
        helper.make_node("Cast", [f"{INDEX}/int8"], [INDEX], name=INDEX, to=TensorProto.INT64),
    ]
    del body.initializer[:]
    for name in arrays[0]:
        rows = np.stack([each[name] for each in arrays])
        if (rows == rows[0]).all():
            body.initializer.append(numpy_helper.from_array(arrays[0][name], name))
            continue
        body.initializer.append(numpy_helper.from_array(rows, f"{name}/{TABLE}"))
        nodes.append(helper.make_node("Gather", [f"{name}/{TABLE}", INDEX], [name], name=f"{name}/{TABLE}", axis=0))
    nodes.extend(body.node)
    del body.node[:]
    body.node.extend(nodes)
    result.metadata_props.add(key=FORMATS, value=selector)
    onnx.checker.check_model(result, full_check=True)
    return result


def selector_for(model: onnx.ModelProto) -> str:
    """A name for a selector that nothing in the model has."""
    taken = {value.name for value in model.graph.input} | {value for node in model.graph.node for value in node.output}
    return "format" + "_" * sum(value.rstrip("_") == "format" for value in taken)


def selector_of(model: onnx.ModelProto) -> str:
    """The selector of a model that has tables, else ""."""
    return next((each.value for each in model.metadata_props if each.key == FORMATS), "")


def untabled(model: onnx.ModelProto) -> list[onnx.ModelProto]:
    """The models that ``tabled`` made one of."""
    tables = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer if each.name.endswith(TABLE)}
    count = min(map(len, tables.values()))
    return [_row(model, tables, number) for number in range(count)]


def _row(model: onnx.ModelProto, tables: Mapping[str, np.ndarray], number: int) -> onnx.ModelProto:
    result = onnx.ModelProto()
    result.CopyFrom(model)
    body, selector = result.graph, selector_of(model)
    kept = {
        "node": [node for node in body.node if node.input[0] not in tables and not node.name.startswith(INDEX)],
        "input": [each for each in body.input if each.name != selector],
        "initializer": [each for each in body.initializer if each.name not in tables],
    }
    for name, table in tables.items():
        kept["initializer"].append(numpy_helper.from_array(np.array(table[number]), name.removesuffix(f"/{TABLE}")))
    for field, values in kept.items():
        copies = [type(each).FromString(each.SerializeToString()) for each in values]
        del getattr(body, field)[:]
        getattr(body, field).extend(copies)
    metadata = [(each.key, each.value) for each in result.metadata_props if each.key != FORMATS]
    del result.metadata_props[:]
    helper.set_model_props(result, dict(metadata))
    return result
