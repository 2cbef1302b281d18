"""Whole random graphs: chains with branches that meet again, several outputs, views."""

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.add import Add
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.concat import Concat
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.ops.softmax import Softmax
from nnrules.graph.requant import Requantization
from tests.cases.case import INT8, Draw, int8_arrays, linear_parts

IMAGE_OPS = ("conv", "depthwise", "pointwise", "max", "average", "lookup", "add", "concat")


class Growing:
    """A graph under construction; ``tensors`` hold the names and shapes that may be read."""

    def __init__(self, draw: Draw, image: Shape) -> None:
        self.draw = draw
        self.tensors: dict[str, Shape] = {"x": image}
        self.nodes: list[Node] = []

    def add(self, operator: Operator, *inputs: str) -> str:
        """Append a node; its output's name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(Node(name=name, inputs=inputs, output=name, operator=operator))
        self.tensors[name] = operator.infer(*(self.tensors[each] for each in inputs))
        return name

    def image_layer(self, source: str) -> str:
        """One layer on an image, of a kind that fits it."""
        draw, shape = self.draw, self.tensors[source]
        kind = draw(st.sampled_from(IMAGE_OPS))
        alike = [name for name, other in self.tensors.items() if other == shape and name != source]
        stride = draw(st.integers(1, 2))
        window = Geometry(kernel=(3, 3), stride=(stride, stride), padding=(1, 1, 1, 1))
        if kind == "add" and alike:
            zero_points = draw(INT8), draw(INT8)
            ratios = draw(st.floats(0.2, 2.0)), draw(st.floats(0.2, 2.0))
            operator = Add.of(ratios, zero_points, draw(INT8), (-128, 127), "add")
            return self.add(operator, source, draw(st.sampled_from(alike)))
        if kind == "concat" and alike:
            multiplier, shift = np.array([2**30, 2**29], np.int32), np.array([2, 1], np.uint8)
            rule = Requantization(multiplier, shift, draw(INT8), -128, 127)
            operator = Concat(axis=2, x_zero_points=(draw(INT8), draw(INT8)), requantization=rule)
            return self.add(operator, source, draw(st.sampled_from(alike)))
        if kind == "max":
            return self.add(MaxPool2d(geometry=window), source)
        if kind == "average":
            rule = AveragePool2d.multipliers(window, False, draw(st.floats(0.5, 2.0)), (draw(INT8), -128, 127), "pool")
            return self.add(AveragePool2d(geometry=window, x_zero_point=draw(INT8), requantization=rule), source)
        if kind == "lookup":
            return self.add(Lookup(table=draw(int8_arrays((256,)))), source)
        return self.add(self.convolution(kind, shape[2], window), source)

    def convolution(self, kind: str, in_c: int, window: Geometry) -> Conv2d:
        """A convolution with random weights."""
        out_c = in_c if kind == "depthwise" else self.draw(st.sampled_from([1, 3, 4, 8]))
        geometry = Geometry(kernel=(1, 1)) if kind == "pointwise" else window
        group_in = 1 if kind == "depthwise" else in_c
        weights = self.draw(int8_arrays((out_c, *geometry.kernel, group_in)))
        groups = in_c if kind == "depthwise" else 1
        return Conv2d(geometry=geometry, groups=groups, **self.draw(linear_parts(weights)))

    def head(self, source: str) -> str:
        """Flatten, fully connected, softmax."""
        size = int(np.prod(self.tensors[source]))
        flat = self.add(Reshape(shape=(size,)), source)
        weights = self.draw(int8_arrays((self.draw(st.integers(1, 6)), size)))
        logits = self.add(FullyConnected(**self.draw(linear_parts(weights))), flat)
        return self.add(Softmax.of(self.draw(st.floats(0.01, 0.5))), logits) if self.draw(st.booleans()) else logits


@st.composite
def graphs(draw: Draw) -> Graph:
    """Three to nine layers; every tensor that nobody reads is an output, and sometimes one that is read."""
    growing = Growing(draw, (draw(st.integers(3, 9)), draw(st.integers(3, 9)), draw(st.sampled_from([1, 2, 4, 8]))))
    images = ["x"]
    for _ in range(draw(st.integers(3, 8))):
        images.append(growing.image_layer(draw(st.sampled_from(images[-3:]))))
    if draw(st.booleans()):
        growing.head(images[-1])
    read = {name for node in growing.nodes for name in node.inputs}
    outputs = [node.output for node in growing.nodes if node.output not in read]
    extra = draw(st.sampled_from(growing.nodes)).output
    if extra not in outputs and draw(st.booleans()) and not _is_viewed(growing.nodes, extra):
        outputs.append(extra)
    tensors = {n: Tensor(name=n, shape=s, scale=1.0, zero_point=0) for n, s in growing.tensors.items()}
    return Graph(name="random", inputs=("x",), outputs=tuple(outputs), tensors=tensors, nodes=tuple(growing.nodes))


def _is_viewed(nodes: list[Node], name: str) -> bool:
    """Whether a reshape reads or makes the tensor: as two outputs, both would be one memory."""
    return any(name in (node.inputs[0], node.output) for node in nodes if node.operator.is_alias)
