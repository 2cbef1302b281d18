"""Transposed convolutions, layers on signals, normalization on its own: how near to the quantized model."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from nnrules.error import UserError
from nnrules.graph.lowering import lower
from tests.graph.floats import FloatModel
from tests.graph.models_of_operators import model_of, operators, steps_apart
from tests.graph.test_lowering import quantized

IMAGE = (4, 5, 6)
SIGNAL = (4, 11)


def transposed(shape: tuple[int, ...], weights: tuple[int, ...], **attributes: object) -> tuple[list[str], float]:
    m = FloatModel(shape)
    out = weights[1] * int(attributes.get("group", 1))  # type: ignore[call-overload]
    names = ["x", m.weights("w", *weights), m.weights("b", out)]
    graph, apart = steps_apart(m.build(m.node("ConvTranspose", names, "y", **attributes)), shape)
    return operators(graph), apart


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]},
        {"strides": [2, 3], "dilations": [2, 1], "pads": [0, 1, 2, 0]},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
        {"strides": [2, 2], "auto_pad": "SAME_LOWER"},
        {"strides": [2, 2], "output_shape": [10, 12]},
        {"strides": [3, 3], "auto_pad": "VALID"},
        {"strides": [2, 2], "group": 2},
        {"strides": [2, 2], "group": 4},
    ],
    ids=str,
)  # fmt: skip
def test_transposed_convolutions(attributes: dict[str, object]) -> None:
    found, apart = transposed(IMAGE, (4, 3, 3, 3), **attributes)
    assert found == ["conv_transpose2d"]
    assert apart <= 1.01


def test_a_transposed_convolution_of_a_signal() -> None:
    found, apart = transposed(SIGNAL, (4, 3, 4), strides=[2], pads=[1, 1])
    assert found == ["conv_transpose2d"]
    assert apart <= 1.01


def test_a_network_on_signals() -> None:
    m = FloatModel(SIGNAL)
    one = m.node("Relu", [m.conv("x", "one", (8, 4, 5), strides=[2], pads=[2, 1], dilations=[1])], "relu")
    two = m.conv(one, "two", (8, 1, 3), group=8, auto_pad="SAME_UPPER")
    pooled = m.node("MaxPool", [m.node("Add", [one, two], "sum")], "pool", kernel_shape=[2], strides=[2])
    average = m.node("AveragePool", [pooled], "average", kernel_shape=[2], pads=[1, 0])
    mean = m.node("GlobalAveragePool", [average], "mean")
    graph, apart = steps_apart(m.build(m.gemm(m.node("Flatten", [mean], "flat"), "y", 3, 8), "sum"), SIGNAL)
    assert operators(graph) == [
        "conv2d", "conv2d", "add", "max_pool2d", "average_pool2d", "average_pool2d", "fully_connected",
    ]  # fmt: skip
    assert graph.tensors["x"].layout == "nchw"
    assert graph.tensors["x"].shape == (11, 4)
    assert apart <= 2.01


@pytest.mark.parametrize("shape", [IMAGE, SIGNAL, (4,)])
def test_a_normalization_on_its_own(shape: tuple[int, ...]) -> None:
    parts = [np.random.default_rng(seed).normal(1, 0.5, 4).astype(np.float32) for seed in range(3)]
    model = model_of("BatchNormalization", shape, *parts, np.array([0.5, 2, 1, 0.1], np.float32), epsilon=1e-3)
    graph, apart = steps_apart(model, shape)
    assert operators(graph) == ["conv2d"]
    assert apart <= 1.01


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("attributes", [{"axis": 1}, {"axis": 1, "keepdims": 0}, {"axis": -1, "select_last_index": 1}])
def test_positions_are_exact(op_type: str, attributes: dict[str, int]) -> None:
    m = FloatModel(IMAGE)
    m.node(op_type, [m.conv("x", "conv", (3, 4, 1, 1))], "best", **attributes)
    graph, apart = steps_apart(m.build(m.node("Cast", ["best"], "y", to=TensorProto.INT32)), IMAGE)
    assert operators(graph) == ["conv2d", "arg_max"]
    assert graph.tensors["y"].dtype == "int32"
    assert len({node.output for node in graph.nodes}) == len(graph.nodes)
    assert apart <= 2


def test_positions_under_another_shape_have_a_name_of_their_own() -> None:
    graph, apart = steps_apart(model_of("ArgMax", IMAGE, axis=1), IMAGE)
    assert [node.output for node in graph.nodes] == ["y/inner", "y"]
    assert apart <= 2


def test_the_class_of_a_classifier() -> None:
    m = FloatModel((6,))
    graph, apart = steps_apart(m.build(m.node("ArgMax", [m.gemm("x", "fc", 5, 6)], "y", axis=1, keepdims=0)), (6,))
    assert graph.tensors["y"].shape == ()
    assert apart == 0


@pytest.mark.parametrize(
    ("op_type", "attributes", "message"),
    [
        ("Gather", {"axis": 1}, "net: node 'y' (Gather): reads 'best', which holds positions; end the model before it"),
        ("Transpose", {"perm": [0, 3, 2, 1]}, "net: 'best': holds positions, which are transposed; "
         "leave them as they are"),
    ],
)  # fmt: skip
def test_positions_end_a_model(op_type: str, attributes: dict[str, list[int]], message: str) -> None:
    m = FloatModel(IMAGE)
    apart = m.node("Reshape", ["x", m.constant("shape", np.array([0, 2, 2, 5, 6]))], "apart")
    m.node("ArgMax", [apart], "best", axis=1, keepdims=0)
    m.node(op_type, ["best", *([m.constant("first", np.array([0]))] * (op_type == "Gather"))], "y", **attributes)
    with pytest.raises(UserError) as caught:
        lower(quantized(m.build("y"), IMAGE), "net")
    assert str(caught.value) == message


def test_an_activation_is_not_cast() -> None:
    model = quantized(model_of("Relu", IMAGE), IMAGE)
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Cast"
    relu.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == ("net: node 'y' (Cast): casts an activation; leave it out, or cast positions only")


def test_attention() -> None:
    m = FloatModel((6, 8))
    q, k, v = (m.node("MatMul", ["x", m.weights(name, 8, 8)], f"{name}x") for name in "qkv")
    split = m.constant("split", np.array([0, 6, 2, 4]))
    heads = [
        m.node("Transpose", [m.node("Reshape", [x, split], f"{x}s")], f"{x}h", perm=[0, 2, 1, 3]) for x in (q, k, v)
    ]
    turned = m.node("Transpose", [heads[1]], "kt", perm=[0, 1, 3, 2])
    scores = m.node("Mul", [m.node("MatMul", [heads[0], turned], "qk"), m.constant("r", np.float32(0.5))], "scores")
    mixed = m.node("MatMul", [m.node("Softmax", [scores], "soft", axis=-1), heads[2]], "mixed")
    together = m.node("Transpose", [mixed], "back", perm=[0, 2, 1, 3])
    flat = m.node("Reshape", [together, m.constant("join", np.array([0, 6, 8]))], "flat")
    graph, apart = steps_apart(m.build(m.node("MatMul", [flat, m.weights("o", 8, 8)], "y")), (6, 8))
    assert operators(graph).count("mat_mul") == 2
    assert operators(graph).count("rearrange") == 4
    assert apart <= 4.01


def test_a_matrix_that_meets_several() -> None:
    m = FloatModel((2, 3, 4))
    matrix = m.node("ReduceMax", ["x", m.constant("axes", np.array([1]))], "matrix", keepdims=1)
    turned = m.node("Transpose", [matrix], "turned", perm=[0, 1, 3, 2])
    graph, apart = steps_apart(m.build(m.node("MatMul", ["x", turned], "y")), (2, 3, 4))
    assert graph.tensors["y"].shape == (2, 3, 3)
    assert apart <= 1.01


def test_a_product_of_vectors_is_refused() -> None:
    m = FloatModel((1,))
    m.node("Mul", ["x", m.node("Sigmoid", ["x"], "s")], "y")
    model = quantized(m.build("y"), (1,))
    next(node for node in model.graph.node if node.op_type == "Mul").op_type = "MatMul"
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == "net: node 'y' (MatMul): multiplies two vectors; only matrices are supported"
