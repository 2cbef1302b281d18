"""The four reference models of MLPerf Tiny as integer graphs with random weights, for counting instructions.

The shapes are the reference models'; the weights are seeded and dense (no more than one in 256 is zero), so that
nothing can be skipped and nobody has to train. The outputs mean nothing.
"""

from collections.abc import Callable

import numpy as np

from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.add import Add
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.ops.softmax import Softmax
from nnrules.graph.requant import Requantization

RELU = (-128, -128, 127)  # the output's zero point and bounds
LINEAR = (3, -128, 127)
SCALE = 0.05


class Network:
    """A graph in the making: every method adds a layer and returns the name of its output."""

    def __init__(self, name: str, shape: Shape, zero_point: int = -5) -> None:
        self.name = name
        self.tensors = {"x": Tensor(name="x", shape=shape, scale=SCALE, zero_point=zero_point)}
        self.nodes: list[Node] = []
        self._generator = np.random.default_rng(len(name))

    def conv(self, x: str, kernel: tuple[int, int], stride: int, channels: int, output: tuple[int, int, int]) -> str:
        """A convolution of one group, padded as TensorFlow's SAME."""
        return self._convolution("conv", x, kernel, stride, (channels, self.tensors[x].shape[2]), 1, output)

    def depthwise(self, x: str, stride: int) -> str:
        """A depthwise 3x3 convolution with Relu, padded as SAME."""
        channels = self.tensors[x].shape[2]
        return self._convolution("depthwise", x, (3, 3), stride, (channels, 1), channels, RELU)

    def dense(self, x: str, features: int, output: tuple[int, int, int]) -> str:
        """A fully connected layer."""
        inputs = self.tensors[x].shape[-1]
        weights, bias, requantization = self._linear((features, inputs), output)
        operator = FullyConnected(
            weights=weights, bias=bias, x_zero_point=self.tensors[x].zero_point, requantization=requantization
        )
        return self.add(f"fc {inputs}->{features}", [x], operator, output[0])

    def pool(self, x: str) -> str:
        """The average over the whole image, as a vector."""
        tensor = self.tensors[x]
        geometry = Geometry(kernel=(tensor.shape[0], tensor.shape[1]))
        rule = AveragePool2d.multipliers(geometry, False, 1.0, (tensor.zero_point, -128, 127), "pool")
        operator = AveragePool2d(geometry=geometry, x_zero_point=tensor.zero_point, requantization=rule)
        size = "x".join(map(str, tensor.shape))
        pooled = self.add(f"average pool {size}", [x], operator, tensor.zero_point)
        return self.add("flatten", [pooled], Reshape(shape=tensor.shape[2:]), tensor.zero_point)

    def residual(self, x1: str, x2: str) -> str:
        """The sum of two branches with Relu."""
        zero_points = self.tensors[x1].zero_point, self.tensors[x2].zero_point
        size = "x".join(map(str, self.tensors[x1].shape))
        return self.add(f"add {size}", [x1, x2], Add.of((0.7, 0.6), zero_points, RELU[0], RELU[1:], "add"), RELU[0])

    def softmax(self, x: str) -> str:
        """Class probabilities."""
        return self.add("softmax", [x], Softmax.of(SCALE), -128)

    def add(self, label: str, inputs: list[str], operator: Operator, zero_point: int) -> str:
        """Any layer."""
        output = f"t{len(self.nodes)}"
        shape = operator.infer(*(self.tensors[name].shape for name in inputs))
        self.tensors[output] = Tensor(name=output, shape=shape, scale=SCALE, zero_point=zero_point)
        name = f"{len(self.nodes)} {label}"
        self.nodes.append(Node(name=name, inputs=tuple(inputs), output=output, operator=operator))
        return output

    def graph(self) -> Graph:
        """The layers so far; the last one's output is the graph's."""
        outputs = (self.nodes[-1].output,)
        return Graph(name=self.name, inputs=("x",), outputs=outputs, tensors=self.tensors, nodes=tuple(self.nodes))

    def _convolution(
        self, kind: str, x: str, kernel: tuple[int, int], stride: int, channels: tuple[int, int], groups: int,
        output: tuple[int, int, int],
    ) -> str:  # fmt: skip
        tensor = self.tensors[x]
        same = {"auto_pad": b"SAME_UPPER", "strides": (stride, stride)}
        weights, bias, requantization = self._linear((channels[0], *kernel, channels[1]), output)
        operator = Conv2d(
            geometry=Geometry.of(kernel, same, tensor.shape),
            groups=groups,
            weights=weights,
            bias=bias,
            x_zero_point=tensor.zero_point,
            requantization=requantization,
        )
        label = f"{kind} {kernel[0]}x{kernel[1]}/{stride} {tensor.shape[2]}->{channels[0]}"
        return self.add(label, [x], operator, output[0])

    def _linear(self, shape: Shape, output: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray, Requantization]:
        """Weights, bias, and multipliers that spread the accumulators over int8."""
        weights = self._generator.integers(-127, 128, shape).astype(np.int8)
        bias = self._generator.integers(-1000, 1000, shape[0]).astype(np.int32)
        spread = 100 * float(np.prod(shape[1:])) ** 0.5
        multiplier = np.full(shape[0], int(2**32 / spread) // 2 * 2, np.int32)
        return weights, bias, Requantization(multiplier, np.zeros(shape[0], np.uint8), *output)


def kws() -> Graph:
    """Keyword spotting: DS-CNN, 49x10, 2,656,768 multiply-accumulates."""
    network = Network("kws", (49, 10, 1))
    x = network.conv("x", (10, 4), 2, 64, RELU)
    for _ in range(4):
        x = network.conv(network.depthwise(x, 1), (1, 1), 1, 64, RELU)
    network.softmax(network.dense(network.pool(x), 12, LINEAR))
    return network.graph()


def vww() -> Graph:
    """Visual wake words: MobileNetV1 0.25, 96x96x3, 7,489,664 multiply-accumulates."""
    network = Network("vww", (96, 96, 3))
    x = network.conv("x", (3, 3), 2, 8, RELU)
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for channels, stride in blocks:
        x = network.conv(network.depthwise(x, stride), (1, 1), 1, channels, RELU)
    network.softmax(network.dense(network.pool(x), 2, LINEAR))
    return network.graph()


def ic() -> Graph:
    """Image classification: ResNet8, 32x32x3, 12,501,632 multiply-accumulates."""
    network = Network("ic", (32, 32, 3))
    x = network.conv("x", (3, 3), 1, 16, RELU)
    x = network.residual(x, network.conv(network.conv(x, (3, 3), 1, 16, RELU), (3, 3), 1, 16, LINEAR))
    for channels in (32, 64):
        y = network.conv(network.conv(x, (3, 3), 2, channels, RELU), (3, 3), 1, channels, LINEAR)
        x = network.residual(network.conv(x, (1, 1), 2, channels, LINEAR), y)
    network.softmax(network.dense(network.pool(x), 10, LINEAR))
    return network.graph()


def ad() -> Graph:
    """Anomaly detection: an autoencoder, 640 values, 264,192 multiply-accumulates."""
    network = Network("ad", (640,))
    x = "x"
    for features in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        x = network.dense(x, features, RELU)
    network.dense(x, 640, LINEAR)
    return network.graph()


NETWORKS: dict[str, Callable[[], Graph]] = {"kws": kws, "vww": vww, "ic": ic, "ad": ad}
"""The graphs by the name of the model."""
