"""A small integer graph with a residual, and the two faults that are planted in it."""

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.add import Add
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.requant import Requantization

INPUT: Shape = (8, 6, 2)
SAME = (1, 1, 1, 1)


def requantization(random: np.random.Generator, channels: int) -> Requantization:
    """Multipliers that keep sums of some dozen products within 8 bits, mostly."""
    multiplier = (2 * random.integers(2**20, 2**22, channels)).astype(np.int32)
    return Requantization(multiplier, np.zeros(channels, np.uint8), -3, -128, 127)


def convolution(random: np.random.Generator, in_c: int, out_c: int, groups: int = 1, stride: int = 1) -> Conv2d:
    """3x3 with a border all around; the input's zero point is far from 0, so that a wrong border shows."""
    return Conv2d(
        geometry=Geometry(kernel=(3, 3), stride=(stride, stride), padding=SAME),
        groups=groups,
        weights=random.integers(-127, 128, (out_c, 3, 3, in_c // groups)).astype(np.int8),
        bias=random.integers(-5000, 5000, out_c).astype(np.int32),
        x_zero_point=-40,
        requantization=requantization(random, out_c),
    )


def small_graph() -> Graph:
    """stem -> depthwise -> add(stem) -> pool -> flat -> head, on (8, 6, 2)."""
    random = np.random.default_rng(7)
    head = FullyConnected(
        weights=random.integers(-127, 128, (5, 48)).astype(np.int8),
        bias=random.integers(-5000, 5000, 5).astype(np.int32),
        x_zero_point=-3,
        requantization=requantization(random, 5),
    )
    steps: list[tuple[str, tuple[str, ...], Operator]] = [
        ("stem", ("image",), convolution(random, 2, 4)),
        ("depthwise", ("stem",), convolution(random, 4, 4, groups=4)),
        ("add", ("stem", "depthwise"), Add(m1=20000, m2=17000, c=2**14, k=15, lo=-128, hi=127)),
        ("pool", ("add",), MaxPool2d(geometry=Geometry(kernel=(2, 2), stride=(2, 2)))),
        ("flat", ("pool",), Reshape(shape=(48,))),
        ("head", ("flat",), head),
    ]
    tensors = {"image": Tensor(name="image", shape=INPUT, scale=0.05, zero_point=-40, layout="nchw")}
    nodes = []
    for name, inputs, operator in steps:
        shape = operator.infer(*(tensors[each].shape for each in inputs))
        layout = "nchw" if len(shape) == 3 else "nhwc"
        tensors[name] = Tensor(name=name, shape=shape, scale=0.1, zero_point=-3, layout=layout)
        nodes.append(Node(name=name, inputs=inputs, output=name, operator=operator))
    return Graph(name="small", inputs=("image",), outputs=("head",), tensors=tensors, nodes=tuple(nodes))


def replaced(graph: Graph, name: str, operator: Operator) -> Graph:
    """The graph with another operator in one node."""
    nodes = tuple(msgspec.structs.replace(n, operator=operator) if n.name == name else n for n in graph.nodes)
    return msgspec.structs.replace(graph, nodes=nodes)


def with_wrong_multiplier(graph: Graph, name: str) -> Graph:
    """One channel's multiplier twice as large."""
    operator = next(node.operator for node in graph.nodes if node.name == name)
    multiplier = operator.requantization.multiplier.copy()
    multiplier[1] *= 2
    changed = msgspec.structs.replace(operator.requantization, multiplier=multiplier)
    return replaced(graph, name, msgspec.structs.replace(operator, requantization=changed))


def with_wrong_border(graph: Graph, name: str) -> Graph:
    """The zero point folded into the bias and the border filled with 0: right inside, wrong along the edges."""
    operator = next(node.operator for node in graph.nodes if node.name == name)
    return replaced(graph, name, msgspec.structs.replace(operator, bias=operator.folded_bias(), x_zero_point=0))


def float_model(graph: Graph, layer: str) -> onnx.ModelProto:
    """A float convolution whose output is called `layer`, with the real weights that the integer one stands for."""
    node = next(node for node in graph.nodes if node.name == layer)
    operator, x, y = node.operator, graph.tensors[node.inputs[0]], graph.tensors[node.output]
    step = operator.requantization.real_scale() * y.scale  # of one unit of each channel's accumulator
    weights = operator.weights.transpose(0, 3, 1, 2) * (step / x.scale).reshape(-1, 1, 1, 1)
    constants = {"w": weights, "b": operator.bias * step}
    body = helper.make_graph(
        [helper.make_node("Conv", [x.name, "w", "b"], [layer], group=operator.groups, **operator.geometry.onnx())],
        "float",
        [helper.make_tensor_value_info(x.name, TensorProto.FLOAT, ["N", 2, 8, 6])],
        [helper.make_tensor_value_info(layer, TensorProto.FLOAT, ["N", 4, 8, 6])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def qdq_model(graph: Graph, layer: str) -> onnx.ModelProto:
    """`float_model` between QuantizeLinear and DequantizeLinear pairs: the input as int8, the output as uint8."""
    model = float_model(graph, layer)
    (convolution,) = model.graph.node
    x, y = graph.tensors[convolution.input[0]], graph.tensors[layer]
    constants = {
        "x/scale": np.float32(x.scale),
        "x/zero": np.int8(x.zero_point),
        "y/scale": np.float32(y.scale),
        "y/zero": np.uint8(y.zero_point + 128),
    }
    convolution.input[0] = "x/real"
    nodes = [
        helper.make_node("QuantizeLinear", [x.name, "x/scale", "x/zero"], ["x/quantized"]),
        helper.make_node("DequantizeLinear", ["x/quantized", "x/scale", "x/zero"], ["x/real"]),
        convolution,
        helper.make_node("QuantizeLinear", [layer, "y/scale", "y/zero"], ["y/quantized"]),
        helper.make_node("DequantizeLinear", ["y/quantized", "y/scale", "y/zero"], ["y"]),
    ]
    constants |= {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    body = helper.make_graph(
        nodes,
        "qdq",
        list(model.graph.input),
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4, 8, 6])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
