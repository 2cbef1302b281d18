"""The integer graph as standard ONNX: any ONNX Runtime is then an independent oracle for the generated C.

Every tensor of the graph keeps its name; images are NCHW with a dynamic batch, everything else has the batch in front.
The selector of a format is an input (N, 1): each sample has its own.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Operator, Shape
from nnrules.graph.requant import Requantization
from nnrules.graph.thresholds import Thresholds

OPSET = 18
IR_VERSION = 8
INDEX = "formats/index"

TABLED = ("conv2d", "fully_connected", "average_pool2d", "add")
"""Operators whose constants, all but the weights, are broadcast against their output: tables by format have them."""

BROADCAST = ("Add", "Mul", "Max", "Min")


class Emitter:
    """Collects nodes and constants; the operators' ``emit`` methods call it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self._output = ""

    def model(self) -> onnx.ModelProto:
        """The whole graph as a checked model; shape inference agrees with the graph's own shapes."""
        inputs = [_value_info(self.graph.tensors[name]) for name in self.graph.inputs]
        if selector := self.graph.selector:
            inputs.append(helper.make_tensor_value_info(selector, TensorProto.INT8, ["N", 1]))
            self.node("Reshape", [self.cast(selector, "INT64"), self.constant(INDEX, "shape", np.array([-1]))], INDEX)
        for node in self.graph.nodes:
            self._output = node.output
            if node.formats:
                self._by_format(node)
            else:
                node.operator.emit(self, list(node.inputs), node.output)
        outputs = [_value_info(self.graph.tensors[name]) for name in self.graph.outputs]
        body = helper.make_graph(self.nodes, self.graph.name, inputs, outputs, list(self.constants.values()))
        model = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model, full_check=True)
        return model

    def shape(self, name: str) -> Shape:
        """A graph tensor's NHWC shape without batch."""
        return self.graph.tensors[name].shape

    def axis(self, name: str, axis: int) -> int:
        """The ONNX axis of an NHWC axis (counted without batch) of a graph tensor."""
        return {0: 2, 1: 3, 2: 1}[axis] if len(self.shape(name)) == 3 else axis + 1

    def constant(self, output: str, role: str, value: Any) -> str:
        """An initializer named after the tensor it helps to make."""
        name = f"{output}/{role}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        return name

    def node(self, op_type: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Append an operator and return its output's name (made up unless given)."""
        output = output or f"{self._output}/{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [output], name=output, **attributes))
        return output

    def cast(self, x: str, dtype: str, output: str = "") -> str:
        """Cast to a ``TensorProto`` type by its name."""
        return self.node("Cast", [x], output, to=TensorProto.DataType.Value(dtype))

    def transpose(self, x: str, order: tuple[int, ...], output: str = "") -> str:
        """Permute the axes."""
        return self.node("Transpose", [x], output, perm=list(order))

    def channels_last(self, tensor: str) -> str:
        """A tensor of the graph in the order of its memory: images become NHWC."""
        return self.transpose(tensor, (0, 2, 3, 1)) if len(self.shape(tensor)) == 3 else tensor

    def channels_first(self, x: str, tensor: str) -> str:
        """A value in the order of memory -> a tensor of the graph: images become NCHW."""
        if len(self.shape(tensor)) == 3:
            return self.transpose(x, (0, 3, 1, 2), tensor)
        return self.node("Identity", [x], tensor)

    def saturate(self, x: str, lo: int, hi: int, output: str) -> str:
        """An integer-valued double -> int8 between the bounds."""
        low, high = self.constant(output, "lo", np.float64(lo)), self.constant(output, "hi", np.float64(hi))
        return self.cast(self.node("Min", [self.node("Max", [x, low]), high]), "INT8", output)

    def requantize(
        self, acc: str, rule: Requantization | Thresholds, output: str, channel_axis: tuple[int, ...]
    ) -> str:
        """int32 accumulator -> int8; the scales are reshaped to ``channel_axis`` to broadcast.

        In doubles: exact wherever the result is not clamped, because the product then stays below 2^53.
        """
        if isinstance(rule, Thresholds):
            return self._count_thresholds(acc, rule, output, channel_axis)
        scale = self.constant(output, "scale", rule.real_scale().reshape(channel_axis))
        scaled = self.node("Mul", [self.cast(acc, "DOUBLE"), scale])
        offset = self.constant(output, "offset", np.float64(rule.zero_point + 0.5))
        return self.saturate(self.node("Floor", [self.node("Add", [scaled, offset])]), rule.lo, rule.hi, output)

    def _count_thresholds(self, acc: str, rule: Thresholds, output: str, channel_axis: tuple[int, ...]) -> str:
        """One comparison a threshold, and a sum."""
        edges = [rule.values[:, index].reshape(channel_axis) for index in range(rule.values.shape[1])]
        compared = [
            self.node("GreaterOrEqual", [acc, self.constant(output, f"threshold{index}", edge)])
            for index, edge in enumerate(edges)
        ]
        lowest = self.constant(output, "lo", np.int32(rule.lo))
        total = lowest
        for each in compared:
            total = self.node("Add", [total, self.cast(each, "INT32")])
        if not compared:  # one level
            total = self.node("Add", [self.node("Sub", [acc, acc]), lowest])
        return self.cast(total, "INT8", output)

    def _by_format(self, node: Node) -> None:
        """Tables of constants where these are broadcast, else the results of all formats and a choice between them."""
        parts = [self._part(operator, node) for operator in node.formats]
        first, arrays = parts[0], [_arrays(part) for part in parts]
        alike = node.operator.op in TABLED and all(part.nodes == first.nodes for part in parts)
        other = {n for n in arrays[0] if alike and any(not np.array_equal(each[n], arrays[0][n]) for each in arrays)}
        if alike and all(each.op_type in BROADCAST for each in first.nodes if not other.isdisjoint(each.input)):
            self.constants |= {name: first.constants[name] for name in arrays[0] if name not in other}
            for name in sorted(other):
                self._table(name, [each[name] for each in arrays], len(self.shape(node.output)))
            self.nodes += first.nodes
        else:
            self._choice(node, parts)

    def _part(self, operator: Operator, node: Node) -> "Emitter":
        """One format's nodes and constants."""
        part = Emitter(self.graph)
        part._output = node.output
        operator.emit(part, list(node.inputs), node.output)
        return part

    def _table(self, name: str, rows: list[np.ndarray], axes: int) -> None:
        """Constants of all formats, the sample's own as value ``name`` with the batch in front of ``axes`` axes."""
        table = np.stack([row.reshape(row.shape[-axes:]) for row in rows])
        table = table.reshape(len(rows), *[1] * (axes + 1 - table.ndim), *table.shape[1:])
        self.node("Gather", [self.constant(name, "formats", table), INDEX], name, axis=0)

    def _choice(self, node: Node, parts: list["Emitter"]) -> None:
        one = [-1, *[1] * len(self.shape(node.output))]
        index = self.node("Reshape", [INDEX, self.constant(node.output, "one", np.array(one))])
        chosen = ""
        for number, part in enumerate(parts):
            prefix, own = (
                f"formats/{number}/",
                {*part.constants, *(value for each in part.nodes for value in each.output)},
            )
            for name, constant in part.constants.items():
                self.constants[prefix + name] = numpy_helper.from_array(numpy_helper.to_array(constant), prefix + name)
            for each in part.nodes:
                each.input[:] = [prefix + value if value in own else value for value in each.input]
                each.output[:] = [prefix + value for value in each.output]
                each.name = prefix + each.name
            self.nodes += part.nodes
            result = self.cast(prefix + node.output, "INT32")
            mine = self.node("Equal", [index, self.constant(node.output, f"format{number}", np.array(number))])
            chosen = self.node("Where", [mine, result, chosen]) if chosen else result
        self.cast(chosen, node.operator.output_type.upper(), node.output)


def _arrays(part: Emitter) -> dict[str, np.ndarray]:
    return {name: numpy_helper.to_array(constant) for name, constant in part.constants.items()}


def integer_model(graph: Graph) -> onnx.ModelProto:
    """The graph as an ONNX model of standard operators that computes the same integers."""
    return Emitter(graph).model()


def _value_info(tensor: Tensor) -> onnx.ValueInfoProto:
    shape: list[Any] = [tensor.shape[2], *tensor.shape[:2]] if len(tensor.shape) == 3 else list(tensor.shape)
    kind = TensorProto.DataType.Value(tensor.dtype.upper())
    return helper.make_tensor_value_info(tensor.name, kind, ["N", *shape])
