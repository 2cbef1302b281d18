"""A graph's edges: the model's inputs as tensors, its outputs in an order in memory and under their names in ONNX."""

import math
from collections.abc import Collection, Iterable, Mapping

import msgspec
import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.layout import Layout
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.stored import DEQUANTIZE, QUANTIZE
from nnrules.graph.views import View, memory_order

SIGNAL_READERS = (
    "Conv", "ConvTranspose", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "BatchNormalization",
    "PRelu",
)  # fmt: skip
"""What reads an input of two dimensions as (channels, length)."""

LAYOUT_FREE = ("Identity", "Add", "Sub", "Mul", "Div", "Relu", "Clip", "Sigmoid", "Tanh", "Max", "Min")
"""What says nothing of the order of an input's axes: its reader does."""


def enter(lowering: Layout, value: onnx.ValueInfoProto) -> str:
    """A model input: its NHWC tensor, from the QuantizeLinear that reads it or from its own integer type."""
    users = lowering.consumers.get(value.name, [])
    edge = next((n for n in users if n.op_type in (QUANTIZE, DEQUANTIZE)), None)
    if edge is None:
        raise UserError(f"{lowering.name}: input '{value.name}'", "is not quantized", "quantize the model first")
    scale, zero_point = lowering.scalar_quantization(edge)
    shape = lowering.shapes[value.name]
    channels_first = len(shape) in (2, 3) and _feeds_image_first(lowering, value.name, len(shape))
    stored = (*shape[1:], shape[0]) if channels_first else shape
    layout = "nchw" if channels_first else "nhwc"
    lowering.tensors[value.name] = Tensor(
        name=value.name, shape=stored, scale=scale, zero_point=zero_point, layout=layout
    )
    index = np.arange(math.prod(shape)).reshape(stored)
    lowering.views[value.name] = View(value.name, np.moveaxis(index, -1, 0) if channels_first else index)
    return value.name


def finished(lowering: Layout, inputs: tuple[str, ...]) -> Graph:
    """The graph of all that was added, without what no output needs.  Raises UserError for an output that is an input,
    or that nobody quantized.
    """
    outputs = _taken_out(lowering, inputs)

    def name(tensor: str) -> str:
        if tensor in inputs:
            return tensor
        inner = f"{tensor}/inner" if tensor in outputs.values() else tensor
        return outputs.get(tensor, inner)

    needed = _needed(lowering.nodes, outputs)
    nodes = [msgspec.structs.replace(n, inputs=tuple(name(i) for i in n.inputs), output=name(n.output)) for n in needed]
    kept = {*inputs, *(node.output for node in needed)}
    tensors = {
        name(t.name): msgspec.structs.replace(t, name=name(t.name)) for t in lowering.tensors.values() if t.name in kept
    }
    return Graph(
        name=lowering.name, inputs=inputs, outputs=tuple(map(name, outputs)), tensors=tensors, nodes=tuple(nodes)
    )


def _taken_out(lowering: Layout, inputs: Collection[str]) -> dict[str, str]:
    """Of each output its tensor, and its name in the ONNX model.  Raises UserError for one that is an input."""
    outputs: dict[str, str] = {}
    for value in lowering.model.graph.output:
        outputs[_own(lowering, value, outputs)] = value.name
    passed = [value for tensor, value in outputs.items() if _root(lowering, tensor) in inputs]
    if passed:
        raise UserError(f"{lowering.name}: output '{passed[0]}'", "is the model's input", "leave it out")
    return outputs


def _feeds_image_first(lowering: Layout, name: str, rank: int) -> bool:
    """Whether the first operator that has an order of axes reads an input of 2 or 3 dimensions channels first."""
    for node in lowering.consumers.get(name, []):
        if node.op_type in (QUANTIZE, DEQUANTIZE, *LAYOUT_FREE):
            return _feeds_image_first(lowering, node.output[0], rank)
        if rank == 2:
            return node.op_type in SIGNAL_READERS
        return node.op_type not in ("Transpose", "Reshape", "Flatten", "Gemm", "MatMul")
    return False


def _own(lowering: Layout, value: onnx.ValueInfoProto, taken: Mapping[str, str]) -> str:
    """The tensor of an output; a copy where it is another output's already, whose layout may differ."""
    before = dict(lowering.tensors)
    name = _output_tensor(lowering, value)
    if name not in taken:
        return name
    tensor, lowering.tensors[name] = lowering.tensors[name], before[name]
    if tensor.dtype != "int8":
        raise UserError(lowering.name, f"its outputs '{taken[name]}' and '{value.name}' are one", "drop one of them")
    copy = msgspec.structs.replace(tensor, name=f"{name}/{value.name}")
    edge = (tensor.scale, tensor.zero_point)
    lowering.append(copy.name, Lookup.of(lambda x: x, edge, edge), [name], copy)
    return copy.name


def _output_tensor(lowering: Layout, value: onnx.ValueInfoProto) -> str:
    view = lowering.views.get(value.name)
    if view is None:
        raise UserError(
            f"{lowering.name}: output '{value.name}'", "is not quantized", "quantize the model's outputs too"
        )
    if view.batch:
        fault = f"has its batch as axis {view.batch}"
        raise UserError(f"{lowering.name}: output '{value.name}'", fault, "bring it to the front")
    channels_last = np.moveaxis(view.index, 0, -1) if view.index.ndim > 1 else view.index
    first = memory_order(view.index) != tuple(range(view.index.ndim))
    layout = "nchw" if first else "nhwc"
    name = lowering.in_memory(view.name, channels_last if first else view.index)
    lowering.tensors[name] = msgspec.structs.replace(lowering.tensors[name], layout=layout)
    return name


def _root(lowering: Layout, tensor: str) -> str:
    """The tensor that this one is a shape of."""
    sources = {node.output: node.inputs[0] for node in lowering.nodes if node.operator.is_alias}
    while tensor in sources:
        tensor = sources[tensor]
    return tensor


def _needed(nodes: list[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that the outputs depend on."""
    wanted, found = set(outputs), []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]
