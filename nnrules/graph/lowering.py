"""QDQ ONNX -> the integer graph.

A quantized model says with QuantizeLinear / DequantizeLinear pairs which integers stand for each tensor.  Lowering
walks it once, in order; each operator's ``lower`` asks this class for its inputs and its output's quantization and
adds a node.
"""

import math
from typing import Any

import msgspec
import numpy as np
import onnx

from nnrules.error import UserError
from nnrules.graph.edges import enter, finished
from nnrules.graph.ir import Graph, Tensor
from nnrules.graph.layout import Layout, batched
from nnrules.graph.moves import rearranged
from nnrules.graph.operator import Operator
from nnrules.graph.ops import BY_ONNX_TYPE
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.qdq_reader import THRESHOLDED
from nnrules.graph.requant import (
    INT32_LIMIT,
    Requantization,
    accumulator_bound,
    certified_bias,
    channel_requantization,
)
from nnrules.graph.stored import DEQUANTIZE, QUANTIZE
from nnrules.graph.thresholds import Thresholds, find_thresholds
from nnrules.graph.views import Index, View, onnx_layout, positions

FARTHEST = 1 / 256  # of a level, that an output may move since its bias is rounded to a step of the accumulator


def lower(model: onnx.ModelProto, name: str) -> Graph:
    """The integer graph of a QDQ model; UserErrors name the node and what is supported."""
    return Lowering(model, name).graph()


class Lowering(Layout):
    """The walk, and how operators add nodes; what they read and where it lies is the base classes'."""

    # The walk.

    def graph(self) -> Graph:
        """Walk the model and return the finished graph."""
        body = self.model.graph
        inputs = tuple(enter(self, value) for value in body.input if value.name not in self.initializers)
        for node in body.node:
            if node.op_type == QUANTIZE:
                self._quantize(node)
            elif node.op_type == DEQUANTIZE:
                if node.input[0] in self.views:
                    self.views[node.output[0]] = self.views[node.input[0]]
            elif node.op_type != "Constant" and node.output[0] not in self._fused:
                self._operator(node)
        return finished(self, inputs)

    def _operator(self, node: onnx.NodeProto) -> None:
        handler = BY_ONNX_TYPE.get(node.op_type)
        if handler is None:
            fault = f"operator {node.op_type} is not supported"
            raise UserError(self.place(node), fault, "docs/import.md lists what is supported")
        handler.lower(self, node)

    def _quantize(self, node: onnx.NodeProto) -> None:
        """A view that is quantized once more: the same integers, or a change of scale by a table."""
        view = self.views.get(node.input[0])
        if view is None:
            raise UserError(self.place(node), "quantizes a constant", "store the constant as integers")
        scale, zero_point = self.scalar_quantization(node)
        tensor = self.tensors[view.name]
        if (scale, zero_point) != (tensor.scale, tensor.zero_point):
            table = Lookup.of(lambda x: x, (tensor.scale, tensor.zero_point), (scale, zero_point))
            rescaled = msgspec.structs.replace(tensor, name=node.output[0], scale=scale, zero_point=zero_point)
            self.append(node.output[0], table, [tensor.name], rescaled)
            view = msgspec.structs.replace(view, name=rescaled.name)
        self.views[node.output[0]] = view

    # Arithmetic.

    def require_channels(self, node: onnx.NodeProto, given: int, expected: int) -> None:
        """Refuse a layer whose weights are for another number of input channels."""
        if given != expected:
            fault = f"its input has {given} channels, its weights are for {expected}"
            raise UserError(self.place(node), fault, "export the model again")

    def linear_output(
        self, node: onnx.NodeProto, x: Tensor, weights: np.ndarray, scales: np.ndarray, bias_input: Any
    ) -> tuple[np.ndarray, Requantization | Thresholds]:
        """Bias (int32) and requantization of a layer acc = bias + sum x * weights, certified against overflow.

        With thresholds, which have the bias in them, it is zero.
        """
        acc_scales = x.scale * scales
        if thresholds := self._thresholds(node, x, weights, acc_scales, bias_input):
            return np.zeros(len(weights), np.int32), thresholds
        if line := self.output(node).line:
            real = self.real_bias(node, bias_input[0], len(weights)) if len(bias_input) else np.zeros(len(weights))
            acc_scales = acc_scales * line[0]
            bias = np.rint((real * line[0] + line[1]) / acc_scales).astype(np.int64)
        else:
            bias = self.bias(node, bias_input[0], acc_scales) if len(bias_input) else np.zeros(len(weights), np.int64)
        return self.certified(node, x, weights, acc_scales, bias)

    def _thresholds(
        self, node: onnx.NodeProto, x: Tensor, weights: np.ndarray, acc_scales: np.ndarray, bias_input: Any
    ) -> Thresholds | None:
        """Where nothing else expresses the fused activations, or where a rounded bias would move outputs too far."""
        output = self.output(node)
        if node.op_type not in THRESHOLDED or not output.is_narrow:
            return None
        real = self.real_bias(node, bias_input[0], len(weights)) if len(bias_input) else np.zeros(len(weights))
        moved = np.abs(np.rint(real / acc_scales) * acc_scales - real) / output.scale
        if not output.steps and moved.max(initial=0) <= FARTHEST:
            return None
        bound = accumulator_bound(weights, np.zeros(len(weights), np.int64), x.zero_point)
        if bound.max(initial=0) >= INT32_LIMIT - 1:
            raise UserError(self.place(node), "can overflow a 32-bit accumulator", "narrow the range of its weights")
        lo, hi = output.bounds
        return find_thresholds(lambda acc: output.levels(acc * acc_scales + real), bound, lo, max(hi, lo + 1))

    def certified(
        self, node: onnx.NodeProto, x: Tensor, weights: np.ndarray, acc_scales: np.ndarray, bias: np.ndarray
    ) -> tuple[np.ndarray, Requantization]:
        """The same from a bias in units of ``acc_scales``, the real value of an accumulator's step per channel."""
        output, where = self.output(node), self.place(node)
        real = acc_scales / output.scale

        def saturates(channel: int, low: int, high: int) -> bool:
            ends = np.floor(np.array([low, high]) * real[channel] + 0.5) + output.zero_point
            return bool((ends >= output.bounds[1]).all() if low > 0 else (ends <= output.bounds[0]).all())

        certified = certified_bias(weights, bias, x.zero_point, saturates, where)
        bound = accumulator_bound(weights, certified.astype(np.int64), x.zero_point)
        return certified, channel_requantization(real, bound, output.zero_point, output.bounds, where)

    def same_quantization(self, node: onnx.NodeProto, x: Tensor) -> None:
        """Refuse a node that must keep its input's quantization and is asked for another."""
        output = self.output(node)
        if (output.scale, output.zero_point, *output.bounds) != (x.scale, x.zero_point, -128, 127):
            raise UserError(
                self.place(node),
                "its output is quantized differently from its input",
                "give both one scale and zero point",
            )

    # Nodes.

    def add(
        self,
        node: onnx.NodeProto,
        operator: Operator,
        inputs: list[str],
        elementwise: bool = False,
        view: Index | None = None,
    ) -> None:
        """Append a node, its value seen as ``view`` says, or like its input if ``elementwise``; else images NCHW."""
        output = self.output(node)
        shape = operator.infer(*(self.tensors[name].shape for name in inputs))
        tensor = Tensor(name=output.name, shape=shape, scale=output.scale, zero_point=output.zero_point)
        lying = positions(shape)
        channels_first = np.moveaxis(lying, -1, 0) if len(shape) == 3 else lying
        if view is None:
            view = self.views[node.input[0]].index if elementwise else channels_first
        expected = self.shapes.get(output.name, view.shape)
        if math.prod(expected) != view.size:
            fault = f"gives shape {batched(view.shape)} where onnx expects {batched(expected)}"
            raise UserError(self.place(node), fault, "change its padding or ceil_mode, so that no window begins behind")
        view = view.reshape(expected)
        tensor = msgspec.structs.replace(tensor, layout=onnx_layout(view))
        self.append(node.name or output.name, operator, inputs, tensor)
        self.views[output.name] = View(tensor.name, view)

    def add_keeping(self, node: onnx.NodeProto, operator: Operator, x: Tensor, view: Index | None = None) -> None:
        """Append a node on ``x`` that keeps its quantization, and a change of scale where the model asks for one."""
        output = self.output(node)
        kept, wanted = (x.scale, x.zero_point), (output.scale, output.zero_point)
        if (*kept, -128, 127) == (*wanted, *output.bounds):
            self.add(node, operator, [x.name], view=view)
            return
        name = f"{output.name}/unscaled"
        shape = operator.infer(x.shape)
        self.append(name, operator, [x.name], msgspec.structs.replace(x, name=name, shape=shape, layout="nhwc"))
        self.add(node, Lookup.of(lambda real: real, kept, wanted, output.bounds), [name], view=view)

    def add_positions(self, node: onnx.NodeProto, operator: Operator, x: Tensor, view: Index) -> None:
        """Append a node that gives int32, which the ONNX model does not quantize."""
        name, shape = node.output[0], operator.infer(x.shape)
        tensor = Tensor(name=name, shape=shape, scale=1.0, zero_point=0, dtype=operator.output_type)
        self.append(node.name or name, operator, [x.name], tensor)
        self.views[name] = View(name, view.reshape(self.shapes.get(name, view.shape)))

    def relabel(self, node: onnx.NodeProto) -> None:
        """A node that only rearranges the view of its input."""
        view = self.view(node, node.input[0])
        index = view.index
        if node.op_type == "Transpose":
            order = list(self.attributes(node, "perm").get("perm", range(index.ndim, -1, -1)))
            batch = order.index(view.batch)
            index = np.asarray(np.expand_dims(index, view.batch).transpose(order).take(0, batch))
            self.views[node.output[0]] = View(view.name, index, batch)
        elif view.batch == 0:
            shape = self.shapes[node.output[0]]
            if math.prod(shape) != index.size:
                raise UserError(self.place(node), "mixes the batch with other axes", "keep it the first axis")
            self.views[node.output[0]] = View(view.name, index.reshape(shape))
        else:
            self.rearrange(node)

    def rearrange(self, node: onnx.NodeProto) -> None:
        """A node that leaves out, repeats or moves values of its first input: views of the same tensor."""
        view = self.view(node, node.input[0])
        for position in range(1, len(node.input)):
            self.constant(node, position)
        for value, found in zip(node.output, rearranged(self.model, node, view, self.initializers), strict=True):
            if found is None:
                raise UserError(self.place(node), "works along the batch", "only the other axes are supported")
            self.views[value] = found
