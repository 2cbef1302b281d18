"""Whole random graphs: one to three inputs, branches that meet again, every operator, several outputs, views."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.graph.operator import Geometry, Operator, Shape
from nnrules.graph.ops.add import Add
from nnrules.graph.ops.arg_max import ArgMax
from nnrules.graph.ops.average_pool2d import AveragePool2d
from nnrules.graph.ops.concat import Concat
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.conv_transpose2d import ConvTranspose2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.ops.lookup import Lookup
from nnrules.graph.ops.mat_mul import MatMul
from nnrules.graph.ops.max_pool2d import MaxPool2d
from nnrules.graph.ops.mul import LARGEST_PRODUCT, Mul
from nnrules.graph.ops.pad import Pad
from nnrules.graph.ops.prelu import Prelu
from nnrules.graph.ops.rearrange import Rearrange
from nnrules.graph.ops.reduce import Reduce
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.ops.resize_linear import MODES, ResizeLinear, interpolation
from nnrules.graph.ops.softmax import Softmax
from nnrules.graph.requant import Requantization, channel_requantization
from tests.cases.case import INT8, Draw, bounds, geometries, int8_arrays, linear_parts, parts, weight_arrays
from tests.cases.rearrange import changed
from tests.narrow import narrowed

LARGEST = 1500  # values of a tensor

Layer = Callable[["Growing", str], str | None]


class Growing:
    """A graph under construction; ``tensors`` hold the names and shapes that may be read; ``narrow``: whether most
    tensors have few levels."""

    def __init__(self, draw: Draw, inputs: list[Shape], narrow: bool = False) -> None:
        self.draw, self.narrow = draw, narrow
        self.inputs = [f"x{index}" for index in range(len(inputs))]
        self.tensors: dict[str, Shape] = dict(zip(self.inputs, inputs, strict=True))
        self.spans = dict.fromkeys(self.inputs, (-128, 127))
        self.ends: dict[str, Shape] = {}  # what no layer may read
        self.nodes: list[Node] = []

    def add(self, operator: Operator, *inputs: str) -> str | None:
        """Append a node and give its output's name; None where that would be too large."""
        shape = operator.infer(*(self.tensors[each] for each in inputs))
        if math.prod(shape) > LARGEST:
            return None
        if self.narrow and (bits := self.draw(st.sampled_from([2, 4, 4, 4, 8]))) < 8:
            operator = narrowed(operator, bits, self.draw(st.sampled_from([0, 0, -8, -128, 100])))
        name = f"t{len(self.nodes)}"
        self.nodes.append(Node(name=name, inputs=inputs, output=name, operator=operator))
        shapes, spans = ([known[each] for each in inputs] for known in (self.tensors, self.spans))
        self.tensors[name], self.spans[name] = shape, operator.span(shapes, spans)
        return name

    def borders(self, source: str) -> st.SearchStrategy[int]:
        """Zero points of a layer's input: any, or where tensors have few levels the lowest or the highest of them."""
        return st.sampled_from(self.spans[source]) if self.narrow else INT8

    def others(self, source: str, fits: Callable[[Shape, Shape], bool]) -> list[str]:
        """The other tensors whose shape fits a tensor's."""
        return [name for name, shape in self.tensors.items() if name != source and fits(self.tensors[source], shape)]

    def rule(self, scale: float, largest: int) -> Requantization:
        """A requantization by one multiplier, with any clamp."""
        zero_point = self.draw(INT8)
        ends = zero_point, self.draw(bounds(zero_point))
        return channel_requantization(np.array([scale]), np.array([largest]), *ends, "layer")


def convolution(growing: Growing, source: str) -> str | None:
    """Any kernel, stride, padding, dilation and groups that fit the image."""
    draw, shape = growing.draw, growing.tensors[source]
    if len(shape) != 3:
        return None
    channels = shape[2]
    kind = draw(st.sampled_from(["any", "any", "pointwise", "depthwise", "groups"]))
    square = Geometry(kernel=(3, 3), stride=(draw(st.integers(1, 2)),) * 2, padding=(1, 1, 1, 1))
    geometry = Geometry(kernel=(1, 1)) if kind == "pointwise" else draw(st.sampled_from([square, _window(draw)]))
    if min(geometry.output(*shape[:2])) < 1:
        return None
    groups = channels if kind == "depthwise" else 2 if kind == "groups" and channels % 2 == 0 else 1
    out = channels if kind == "depthwise" else groups * draw(st.sampled_from([1, 2, 3, 4, 8][growing.narrow :]))
    size = out, *geometry.kernel, channels // groups
    weights = draw(weight_arrays(size) if growing.narrow else int8_arrays(size))
    rest = draw((parts if growing.narrow else linear_parts)(weights, growing.borders(source)))
    return growing.add(Conv2d(geometry=geometry, groups=groups, **rest), source)


def transposed_convolution(growing: Growing, source: str) -> str | None:
    """Strides of one and two."""
    draw, shape = growing.draw, growing.tensors[source]
    if len(shape) != 3:
        return None
    kernel, stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3))), (draw(st.integers(1, 2)), 2)
    size = tuple(max(1, (n - 1) * s + k - 1) for n, s, k in zip(shape, stride, kernel, strict=False))
    weights = draw(int8_arrays((draw(st.integers(1, 5)), *kernel, shape[2])))
    operator = ConvTranspose2d(
        stride=stride, dilation=(1, 1), cut=(1, 0), size=(size[0], size[1]), **draw(linear_parts(weights))
    )
    return growing.add(operator, source)


def pooling(growing: Growing, source: str) -> str | None:
    """The largest or the average of any window that fits."""
    draw, shape = growing.draw, growing.tensors[source]
    window = _window(draw, dilated=False)
    if len(shape) != 3 or min(window.output(*shape[:2])) < 1:
        return None
    if draw(st.booleans()):
        return growing.add(MaxPool2d(geometry=window), source)
    included, ends = draw(st.booleans()), (draw(INT8), -128, 127)
    rule = AveragePool2d.multipliers(window, included, draw(st.floats(0.5, 2.0)), ends, "pool")
    zero_point = draw(growing.borders(source))
    operator = AveragePool2d(geometry=window, count_include_pad=included, x_zero_point=zero_point, requantization=rule)
    return growing.add(operator, source)


def sum_or_product(growing: Growing, source: str) -> str | None:
    """With any tensor that broadcasts against it, itself among them."""
    draw = growing.draw
    other = draw(st.sampled_from([source, *growing.others(source, _broadcasts)]))
    pair = (source, other) if draw(st.booleans()) else (other, source)
    zero_points = draw(INT8), draw(INT8)
    if draw(st.integers(0, 7)) < (1 if growing.narrow else 4):
        operator = Mul(
            x_zero_points=zero_points, requantization=growing.rule(draw(st.floats(1e-3, 0.1)), LARGEST_PRODUCT)
        )
        return growing.add(operator, *pair)
    ratios = draw(st.floats(0.2, 2.0)), draw(st.sampled_from([1, -1])) * draw(st.floats(0.2, 2.0))
    zero_point = draw(INT8)
    return growing.add(Add.of(ratios, zero_points, zero_point, draw(bounds(zero_point)), "add"), *pair)


def concatenation(growing: Growing, source: str) -> str | None:
    """Of two or three tensors along any axis."""
    draw, shape = growing.draw, growing.tensors[source]
    axis = draw(st.integers(0, len(shape) - 1)) if shape else 0
    fitting = growing.others(source, lambda a, b: bool(a) and _without(a, axis) == _without(b, axis))
    if not fitting:
        return None
    names = [source, *draw(st.lists(st.sampled_from(fitting), min_size=1, max_size=2))]
    multiplier, shift = [2**30, 2**29, 2**28 + 2][: len(names)], [2, 1, 0][: len(names)]
    rule = Requantization(np.array(multiplier, np.int32), np.array(shift, np.uint8), draw(INT8), -128, 127)
    zero_points = tuple(draw(INT8) for _ in names)
    return growing.add(Concat(axis=axis, x_zero_points=zero_points, requantization=rule), *names)


def one_value_at_a_time(growing: Growing, source: str) -> str | None:
    """A table, or slopes for each channel."""
    draw, shape = growing.draw, growing.tensors[source]
    if not shape or draw(st.booleans()):
        return growing.add(Lookup(table=draw(int8_arrays((256,)))), source)
    slopes = np.random.default_rng(draw(st.integers(0, 999))).normal(0, 0.5, shape[-1])
    return growing.add(
        Prelu.of(draw(st.floats(0.3, 2.0)), slopes, draw(INT8), (draw(INT8), -128, 127), "prelu"), source
    )


def residual_block(growing: Growing, source: str) -> str | None:
    """Two convolutions of 3x3, the first of any stride, beside one of 1x1 (He et al., CVPR 2016); often behind a table
    which both read."""
    draw, shape = growing.draw, growing.tensors[source]
    if len(shape) != 3:
        return None
    begin = growing.add(Lookup(table=draw(int8_arrays((256,)))), source) if draw(st.integers(0, 3)) else source
    channels, stride = draw(st.sampled_from([1, 2, 4])), (draw(st.integers(1, 2)),) * 2
    short = begin and _convolved(growing, begin, Geometry(kernel=(1, 1), stride=stride), channels)
    padding = (1, 1, 1, 1)
    long = begin and _convolved(growing, begin, Geometry(kernel=(3, 3), stride=stride, padding=padding), channels)
    long = long and _convolved(growing, long, Geometry(kernel=(3, 3), padding=padding), channels)
    if not short or not long:
        return None
    pair = (long, short) if draw(st.booleans()) else (short, long)
    zero_point = draw(INT8)
    return growing.add(Add.of((0.7, 0.5), (draw(INT8), draw(INT8)), zero_point, (-128, 127), "add"), *pair)


def _convolved(growing: Growing, source: str, geometry: Geometry, channels: int) -> str | None:
    weights = growing.draw(int8_arrays((channels, *geometry.kernel, growing.tensors[source][2])))
    return growing.add(Conv2d(geometry=geometry, **growing.draw(linear_parts(weights))), source)


def border(growing: Growing, source: str) -> str | None:
    """Of one or two values on any sides."""
    draw, shape = growing.draw, growing.tensors[source]
    before, after = (tuple(draw(st.integers(0, 2)) * (axis < 3) for axis in range(len(shape))) for _ in range(2))
    return growing.add(Pad(before=before, after=after, value=draw(INT8)), source) if shape else None


def reduction(growing: Growing, source: str) -> str | None:
    """Of any neighbouring axes."""
    draw, shape = growing.draw, growing.tensors[source]
    if not shape:
        return None
    begin = draw(st.integers(0, len(shape) - 1))
    end = draw(st.integers(begin + 1, len(shape)))
    kind = draw(st.sampled_from(["sum", "sum", "max", "min"]))
    if kind != "sum":
        return growing.add(Reduce(kind=kind, begin=begin, end=end), source)
    length = math.prod(shape[begin:end])
    rule = growing.rule(draw(st.floats(0.3, 2.0)) / length, 255 * length)
    operator = Reduce(kind=kind, begin=begin, end=end, x_zero_point=draw(INT8), requantization=rule)
    return growing.add(operator, source)


def scaling(growing: Growing, source: str) -> str | None:
    """By two, or to any near size."""
    draw, shape = growing.draw, growing.tensors[source]
    if len(shape) != 3:
        return None
    scales = [draw(st.sampled_from([Fraction(2), Fraction(draw(st.integers(1, 9)), n)])) for n in shape[:2]]
    mode = draw(st.sampled_from(MODES))
    (rows, one_row), (columns, one_column) = (interpolation(n, s, mode) for n, s in zip(shape, scales, strict=False))
    one = one_row * one_column
    operator = ResizeLinear(
        rows=rows, columns=columns, one=(one_row, one_column), x_zero_point=draw(INT8),
        requantization=growing.rule(draw(st.floats(0.5, 2.0)) / one, 255 * one),
    )  # fmt: skip
    return growing.add(operator, source)


def moved(growing: Growing, source: str) -> str | None:
    """Another order of the values, some left out, some repeated."""
    shape = growing.tensors[source]
    index = changed(growing.draw, np.arange(math.prod(shape)).reshape(shape or (1,)))
    return growing.add(Rearrange.of(index), source)


def other_shape(growing: Growing, source: str) -> str | None:
    """Flat, or an image of one pixel, one row or one channel."""
    size = math.prod(growing.tensors[source])
    shape = growing.draw(st.sampled_from([(size,), (1, 1, size), (1, size, 1), (size, 1)]))
    return growing.add(Reshape(shape=shape), source)


def fully_connected(growing: Growing, source: str) -> str | None:
    """Over the last axis."""
    shape = growing.tensors[source]
    if not shape:
        return None
    weights = growing.draw(int8_arrays((growing.draw(st.integers(1, 9)), shape[-1])))
    return growing.add(FullyConnected(**growing.draw(linear_parts(weights))), source)


def softmax(growing: Growing, source: str) -> str | None:
    """Over the last axis."""
    shape = growing.tensors[source]
    return growing.add(Softmax.of(growing.draw(st.floats(0.01, 0.5))), source) if shape else None


def matrix_product(growing: Growing, source: str) -> str | None:
    """With its own transposition."""
    draw, shape = growing.draw, growing.tensors[source]
    if len(shape) < 2:
        return None
    turned = growing.add(Rearrange.of(np.arange(math.prod(shape)).reshape(shape).swapaxes(-1, -2)), source)
    largest = 255 * 255 * shape[-1]
    rule = growing.rule(draw(st.floats(1.0, 100.0)) / largest, largest)
    operator = MatMul(x_zero_points=(draw(INT8), draw(INT8)), requantization=rule)
    return turned and growing.add(operator, source, turned)


def position(growing: Growing, source: str) -> str | None:
    """Of the largest value; nothing reads it."""
    shape = growing.tensors[source]
    if not shape:
        return None
    name = growing.add(ArgMax(axis=growing.draw(st.integers(0, len(shape) - 1))), source)
    if name:
        growing.ends[name] = growing.tensors.pop(name)
    return name


LAYERS: list[Layer] = [
    convolution, convolution, convolution, transposed_convolution, pooling, sum_or_product, sum_or_product,
    concatenation, one_value_at_a_time, border, reduction, scaling, moved, other_shape, fully_connected, softmax,
    matrix_product, position,
]  # fmt: skip
ROW_LAYERS: list[Layer] = [
    convolution, convolution, convolution, convolution, convolution, convolution, pooling, pooling, sum_or_product,
    sum_or_product, concatenation, one_value_at_a_time, residual_block, residual_block, border, scaling, moved,
]  # fmt: skip


NARROW_LAYERS: list[Layer] = [
    convolution, convolution, convolution, convolution, convolution, convolution, pooling, sum_or_product,
    sum_or_product, one_value_at_a_time, other_shape, fully_connected,
]  # fmt: skip


@st.composite
def narrow_graphs(draw: Draw) -> Graph:
    """Four to eight layers from one image, whose tensors mostly have few levels."""
    image = draw(st.integers(4, 12)), draw(st.integers(2, 7)), draw(st.sampled_from([2, 3, 4, 8]))
    growing = Growing(draw, [image], narrow=True)
    for _ in range(draw(st.integers(4, 8))):
        recent = list(growing.tensors)[-3:]
        draw(st.sampled_from(NARROW_LAYERS))(growing, draw(st.sampled_from([*recent[-1:] * 5, *recent])))
    while not growing.nodes:
        convolution(growing, growing.inputs[0])
    fully_connected(growing, list(growing.tensors)[-1])
    return _finished(growing)


@st.composite
def graphs(draw: Draw) -> Graph:
    """Three to ten layers; every tensor that nobody reads is an output, and sometimes one that is read."""
    image = draw(st.integers(3, 9)), draw(st.integers(3, 9)), draw(st.sampled_from([1, 2, 3, 4, 8]))
    more = [draw(st.sampled_from([image, (1, 1, image[2]), (draw(st.integers(1, 12)),)])) for _ in range(2)]
    growing = Growing(draw, [image, *more][: draw(st.sampled_from([1, 1, 2, 3]))])
    for name in growing.inputs:
        while not draw(st.sampled_from(LAYERS))(growing, name):
            pass
    for _ in range(draw(st.integers(2, 8))):
        recent = list(growing.tensors)[-4:]
        draw(st.sampled_from(LAYERS))(growing, draw(st.sampled_from(recent)))
    return _finished(growing)


@st.composite
def row_graphs(draw: Draw) -> Graph:
    """Two to seven layers or blocks of them that mostly pass rows on, from one image, sometimes with a global average
    behind them."""
    growing = Growing(
        draw, [(draw(st.integers(1, 20)), draw(st.integers(1, 7)), draw(st.sampled_from([1, 2, 3, 4, 8])))]
    )
    for _ in range(draw(st.integers(2, 7))):
        recent = list(growing.tensors)[-3:]
        draw(st.sampled_from(ROW_LAYERS))(growing, draw(st.sampled_from([recent[-1], *recent])))
    last = list(growing.tensors)[-1]
    if draw(st.booleans()) and len(growing.tensors[last]) == 3:
        global_average(growing, last)
    if not growing.nodes:
        global_average(growing, growing.inputs[0])
    return _finished(growing)


def global_average(growing: Growing, source: str) -> str | None:
    """Over all rows and columns."""
    height, width, _ = growing.tensors[source]
    window = Geometry(kernel=(height, width))
    rule = AveragePool2d.multipliers(window, True, 1.0, (growing.draw(INT8), -128, 127), "pool")
    return growing.add(
        AveragePool2d(geometry=window, count_include_pad=True, x_zero_point=growing.draw(INT8), requantization=rule),
        source,
    )


def _finished(growing: Growing) -> Graph:
    outputs = _outputs(growing.draw, growing)
    shapes, types = growing.tensors | growing.ends, {node.output: node.operator.output_type for node in growing.nodes}
    tensors = {
        name: Tensor(name=name, shape=shape, scale=1.0, zero_point=0, dtype=types.get(name, "int8"))
        for name, shape in shapes.items()
    }
    return Graph(
        name="random", inputs=tuple(growing.inputs), outputs=outputs, tensors=tensors, nodes=tuple(growing.nodes)
    )


def _outputs(draw: Draw, growing: Growing) -> tuple[str, ...]:
    """What nobody reads, and maybe one more; reshapes of inputs are no outputs, and one memory is no two."""
    for node in [node for node in growing.nodes if node.operator.is_alias]:
        growing.add(Lookup(table=draw(int8_arrays((256,)))), node.output)
    read = {name for node in growing.nodes for name in node.inputs}
    outputs = [node.output for node in growing.nodes if node.output not in read]
    extra = draw(st.sampled_from(growing.nodes)).output
    viewed = any(extra in (node.inputs[0], node.output) for node in growing.nodes if node.operator.is_alias)
    return (*outputs, extra) if extra not in outputs and not viewed and draw(st.booleans()) else tuple(outputs)


def _window(draw: Draw, dilated: bool = True) -> Geometry:
    geometry, _ = draw(geometries(dilated))
    return geometry


def _broadcasts(first: Shape, second: Shape) -> bool:
    return len(first) == len(second) > 0 and all(a == b or 1 in (a, b) for a, b in zip(first, second, strict=True))


def _without(shape: Shape, axis: int) -> tuple[int, Shape]:
    return len(shape), (*shape[:axis], *shape[axis + 1 :])
