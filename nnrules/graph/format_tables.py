"""QDQ models of several formats as one: what differs is in tables, and the selector picks a row of each."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnrules.catalog.names import FORMATS

INDEX = "formats/index"
TABLE = "formats/table"


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
