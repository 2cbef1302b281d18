"""Operators that only move values: views until somebody needs them in memory."""

import numpy as np
import pytest
from onnx import helper

from nnrules.error import UserError
from nnrules.graph.lowering import lower
from tests.graph.floats import FloatModel
from tests.graph.models_of_operators import model_of, operators, steps_apart
from tests.graph.test_lowering import quantized

IMAGE = (4, 6, 8)


@pytest.mark.parametrize("perm", [[0, 1, 3, 2], [0, 2, 3, 1], [0, 3, 2, 1]])
def test_a_transposition_moves_data_at_most_once(perm: list[int]) -> None:
    graph, apart = steps_apart(model_of("Transpose", IMAGE, perm=perm), IMAGE)
    assert operators(graph) == ["rearrange"]
    assert apart <= 0.51


def test_a_convolution_reads_a_transposed_image_through_one_copy() -> None:
    m = FloatModel(IMAGE)
    turned = m.node("Transpose", [m.node("Relu", ["x"], "relu")], "turned", perm=[0, 1, 3, 2])
    one, two = m.conv(turned, "one", (3, 4, 3, 3)), m.conv(turned, "two", (3, 4, 3, 3))
    graph, apart = steps_apart(m.build(m.node("Add", [one, two], "sum")), IMAGE)
    assert operators(graph) == ["lookup", "rearrange", "conv2d", "conv2d", "add"]
    assert apart <= 2.01


def test_a_softmax_along_any_axis() -> None:
    graph, apart = steps_apart(model_of("Softmax", IMAGE, axis=2), IMAGE)
    assert operators(graph) == ["rearrange", "softmax", "rearrange"]
    assert apart <= 1.01


INTEGERS = np.int64
CUTS = [
    ("Slice", [[1, 0], [4, 7], [2, 3], [2, 2]], {}),
    ("Slice", [[-1], [-100], [2], [-1]], {}),
    ("Slice", [[0], [3], [1]], {}),
    ("DepthToSpace", [], {"blocksize": 2, "mode": "DCR"}),
    ("DepthToSpace", [], {"blocksize": 2, "mode": "CRD"}),
    ("SpaceToDepth", [], {"blocksize": 2}),
    ("Gather", [[3, 0, 2]], {"axis": 1}),
    ("Gather", [2], {"axis": 3}),
    ("Tile", [[1, 2, 1, 3]], {}),
]


@pytest.mark.parametrize(("op_type", "constants", "attributes"), CUTS)
def test_values_are_moved_exactly(op_type: str, constants: list[object], attributes: dict[str, object]) -> None:
    model = model_of(op_type, IMAGE, *(np.array(each, INTEGERS) for each in constants), **attributes)
    graph, apart = steps_apart(model, IMAGE)
    assert operators(graph) == ["rearrange"]
    assert apart <= 0.51


@pytest.mark.parametrize("name", ["one", "positions"])
def test_a_constant_may_be_several_inputs_and_have_any_name(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    m = FloatModel(IMAGE)
    one, end = m.constant(name, np.array([1])), m.constant("end", np.array([3]))
    graph, apart = steps_apart(m.build(m.node("Slice", ["x", one, end, one, one], "y")), IMAGE)
    assert operators(graph) == ["rearrange"]
    assert apart <= 0.51
    assert capfd.readouterr().err == ""


def test_an_expansion_is_read_where_it_lies() -> None:
    m = FloatModel(IMAGE)
    mean = m.node("GlobalAveragePool", ["x"], "mean")
    full = m.node("Expand", [mean, m.constant("shape", np.array([1, 4, 6, 8]))], "full")
    graph, apart = steps_apart(m.build(m.node("Relu", [full], "y")), IMAGE)
    assert operators(graph) == ["average_pool2d", "lookup", "rearrange"]
    assert graph.tensors[graph.nodes[1].output].size == 4
    assert apart <= 1.01


@pytest.mark.parametrize("sizes", [[], [1, 3]])
def test_parts_of_a_split_go_their_own_way(sizes: list[int]) -> None:
    m = FloatModel(IMAGE)
    inputs = ["x", *([m.constant("sizes", np.array(sizes))] if sizes else [])]
    m.nodes.append(helper.make_node("Split", inputs, ["a", "b"], axis=1, **({} if sizes else {"num_outputs": 2})))
    m.node("Concat", ["b", m.node("Relu", ["a"], "relu"), "x"], "y", axis=1)
    graph, apart = steps_apart(m.build("y"), IMAGE)
    assert operators(graph) == ["rearrange", "lookup", "rearrange", "concat"]
    assert apart <= 1.01


def test_a_shuffle_of_channels_is_one_copy() -> None:
    m = FloatModel(IMAGE)
    apart = m.node("Reshape", ["x", m.constant("groups", np.array([0, 2, 2, 6, 8]))], "groups_apart")
    turned = m.node("Transpose", [apart], "turned", perm=[0, 2, 1, 3, 4])
    together = m.node("Reshape", [turned, m.constant("image", np.array([0, 4, 6, 8]))], "together")
    graph, steps = steps_apart(m.build(m.conv(together, "y", (3, 4, 3, 3))), IMAGE)
    assert operators(graph) == ["rearrange", "conv2d"]
    assert len(graph.nodes[0].operator.offsets) == 3
    assert steps <= 1.01


def test_the_batch_is_left_alone() -> None:
    model = quantized(model_of("Gather", IMAGE, np.array([0, 0]), axis=0), IMAGE)
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == ("net: node 'y' (Gather): works along the batch; only the other axes are supported")


@pytest.mark.parametrize("parts", ["Gather", "Split"])
def test_a_batch_that_is_moved_and_brought_back(parts: str) -> None:
    m = FloatModel((6, 24))
    apart = m.node("Reshape", ["x", m.constant("split", np.array([0, 6, 3, 2, 4]))], "apart")
    turned = m.node("Transpose", [apart], "turned", perm=[2, 0, 3, 1, 4])
    if parts == "Gather":
        names = [m.node("Gather", [turned, m.constant(f"i{i}", np.array(i))], f"part{i}", axis=0) for i in range(3)]
    else:
        m.nodes.append(helper.make_node("Split", [turned], [f"s{i}" for i in range(3)], axis=0, num_outputs=3))
        first = m.constant("first", np.array([0]))
        names = [m.node("Squeeze", [f"s{i}", first], f"part{i}") for i in range(3)]
    graph, apart_by = steps_apart(m.build(m.node("Add", [names[0], m.node("Relu", [names[2]], "r")], "y")), (6, 24))
    assert operators(graph) == ["rearrange", "lookup", "rearrange", "add"]
    assert apart_by <= 1.01


@pytest.mark.parametrize(
    ("op_type", "message"),
    [
        ("Relu", "net: node 'y' (Relu): reads 'turned', whose batch is axis 1; bring it back to the front before"),
        ("Identity", "net: output 'y': has its batch as axis 1; bring it to the front"),
    ],
)
def test_a_batch_that_stays_away_is_refused(op_type: str, message: str) -> None:
    m = FloatModel(IMAGE)
    m.node(op_type, [m.node("Transpose", ["x"], "turned", perm=[1, 0, 2, 3])], "y")
    with pytest.raises(UserError) as caught:
        lower(quantized(m.build("y"), IMAGE), "net")
    assert str(caught.value) == message


def test_two_outputs_that_are_one_tensor_are_two() -> None:
    m = FloatModel((4, 6, 5))
    relu = m.node("Relu", [m.conv("x", "conv", (3, 4, 3, 3))], "y")
    turned = m.node("Transpose", [relu], "turned", perm=[0, 2, 3, 1])
    graph, apart = steps_apart(m.build(relu, m.node("Identity", [relu], "same"), turned), (4, 6, 5))
    assert graph.outputs == ("y", "same", "turned")
    assert [graph.tensors[name].layout for name in graph.outputs] == ["nchw", "nchw", "nhwc"]
    assert operators(graph) == ["conv2d", "lookup", "lookup"]
    assert apart <= 1.01


def test_positions_are_given_once() -> None:
    m = FloatModel((4, 6, 5))
    best = m.node("ArgMax", ["x"], "best", axis=1, keepdims=0)
    model = quantized(m.build(best, m.node("Identity", [best], "same")), (4, 6, 5))
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == "net: its outputs 'best' and 'same' are one; drop one of them"
