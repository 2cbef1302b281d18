"""What ONNX nodes that only move values make of views: ONNX Runtime moves the positions."""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from nnrules.graph.runtime import session
from nnrules.graph.views import Index, View

CARRIERS = {"DepthToSpace": np.float64, "SpaceToDepth": np.float64, "Resize": np.int32, "Upsample": np.int32}
"""The type in which ONNX Runtime moves positions, where that is not int64."""


def rearranged(
    model: onnx.ModelProto, node: onnx.NodeProto, view: View, constants: Mapping[str, NDArray[np.generic]]
) -> list[View | None]:
    """What an ONNX node that only moves values makes of a view, by ONNX Runtime; None where it works along the batch.

    ``model`` says which version of the operator it is, ``constants`` holds its further inputs.
    """
    one = np.expand_dims(view.index, view.batch)
    if view.batch == 0:
        return [View(view.name, found[0]) if len(found) == 1 else None for found in _run(model, node, one, constants)]
    apart = view.index.max() + 1
    two = np.concatenate([one, one + apart], view.batch)
    return [_without_batch(view.name, found, apart) for found in _run(model, node, two, constants)]


def _without_batch(name: str, found: Index, apart: int) -> View | None:
    """The view of the first of two samples whose positions lie ``apart``."""
    for axis in [axis for axis, length in enumerate(found.shape) if length == 2]:
        first, second = found.take(0, axis), found.take(1, axis)
        if (second == first + apart).all():
            return View(name, np.asarray(first), axis)
    return None


def _run(
    model: onnx.ModelProto, node: onnx.NodeProto, index: Index, constants: Mapping[str, NDArray[np.generic]]
) -> list[Index]:
    """The node's outputs for positions, with their batch axis."""
    kind = np.dtype(CARRIERS.get(node.op_type, np.int64))
    further = list(dict.fromkeys(value for value in node.input[1:] if value))
    name = "positions" + "_" * max(map(len, further), default=0)  # unlike any of these
    x = helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(kind), index.shape)
    single = onnx.NodeProto()
    single.CopyFrom(node)
    single.input[0] = name
    outputs = [onnx.ValueInfoProto(name=value) for value in node.output]
    stored = [numpy_helper.from_array(constants[value], value) for value in further]
    body = helper.make_graph([single], "view", [x], outputs, stored)
    small = helper.make_model(body, opset_imports=model.opset_import, ir_version=model.ir_version)
    results = session(small.SerializeToString()).run(None, {name: index.astype(kind)})
    return [result.astype(np.int64) for result in results]
