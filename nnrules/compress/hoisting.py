"""Quantizers of layers' inputs in an ONNX model, each once and as far ahead as it can be.

What limits a layer's input to its levels, Clip with what it has before it, becomes part of the operator ahead, if that
has no other reader. So it must not stand twice where two layers see the same, and not behind what only moves or picks
values: max(clip(x)) is clip(max(x)).
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.graph.qdq_reader import AFFINE

COMMUTING = ("MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity")


def hoist(model: onnx.ModelProto) -> None:
    """Merge what is equal and move Clip and AFFINE steps by single numbers ahead of COMMUTING operators, in place."""
    merge(model)
    nodes = model.graph.node
    while (found := _behind_commuting(model)) is not None:
        before, after = found
        source, between, result = nodes[before].input[0], nodes[before].output[0], nodes[after].output[0]
        mover, step = onnx.NodeProto(), onnx.NodeProto()
        mover.CopyFrom(nodes[before])
        step.CopyFrom(nodes[after])
        step.input[:] = [source if name == between else name for name in step.input]
        step.output[0] = mover.input[0] = between
        mover.output[0] = result
        nodes[before].CopyFrom(step)
        nodes[after].CopyFrom(mover)


def merge(model: onnx.ModelProto) -> None:
    """One node for all that compute the same from the same, in place."""
    constants = {each.name: _content(each) for each in model.graph.initializer}
    outputs = {each.name for each in model.graph.output}
    seen: dict[tuple[object, ...], str] = {}
    renamed: dict[str, str] = {}
    for node in list(model.graph.node):
        node.input[:] = [renamed.get(name, name) for name in node.input]
        attributes = tuple(sorted(each.SerializeToString() for each in node.attribute))
        key = (node.op_type, attributes, *(constants.get(name, name) for name in node.input))
        if len(node.output) != 1 or node.output[0] in outputs:
            continue
        first = seen.setdefault(key, node.output[0])
        if first != node.output[0]:
            renamed[node.output[0]] = first
            model.graph.node.remove(node)


def quantizer_of(model: onnx.ModelProto, value: str) -> str:
    """The value that a layer's quantizer gives from which its input ``value`` follows: that, or what was hoisted."""
    makers = {name: node for node in model.graph.node for name in node.output}
    while (maker := makers.get(value)) is not None and maker.op_type in COMMUTING:
        value = maker.input[0]
    return value


def single(model: onnx.ModelProto) -> dict[str, float]:
    """The initializers that are single numbers."""
    arrays = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    return {name: float(each.reshape(-1)[0]) for name, each in arrays.items() if each.size == 1}


def _behind_commuting(model: onnx.ModelProto) -> tuple[int, int] | None:
    """The places of a COMMUTING operator and of a step that is all that reads its output."""
    numbers = single(model)
    reads = Counter(value for node in model.graph.node for value in node.input)
    outputs = {each.name for each in model.graph.output}
    makers = {node.output[0]: index for index, node in enumerate(model.graph.node)}
    for after, node in enumerate(model.graph.node):
        values = [name for name in node.input if name and name not in numbers]
        if node.op_type not in ("Clip", *AFFINE) or len(values) != 1 or values[0] not in makers:
            continue
        before = makers[values[0]]
        mover = model.graph.node[before]
        alone = reads[values[0]] == 1 and reads[mover.input[0]] == 1 and values[0] not in outputs
        if mover.op_type in COMMUTING and len(mover.output) == 1 and alone and node.output[0] not in outputs:
            if node.op_type in ("Mul", "Div") and any(numbers[name] <= 0 for name in node.input if name in numbers):
                continue
            return before, after
    return None


def _content(tensor: onnx.TensorProto) -> tuple[object, ...]:
    array = np.asarray(numpy_helper.to_array(tensor))
    return (str(array.dtype), array.shape, array.tobytes())
