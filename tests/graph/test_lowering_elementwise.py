"""Element-wise operators with two activations or a constant: which integer operators, and how near."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.lowering import lower
from nnrules.graph.ops.lookup import Lookup
from tests.graph.floats import FloatModel
from tests.graph.models_of_operators import model_of, operators, steps_apart
from tests.graph.test_lowering import quantized

IMAGE = (4, 6, 5)
PER_CHANNEL = np.array([0.5, -2.0, 0.0, 1.0], np.float32).reshape(4, 1, 1)
FULL = np.random.default_rng(3).normal(size=IMAGE).astype(np.float32)


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("order", [["a", "b"], ["b", "a"]])
@pytest.mark.parametrize("gate", [False, True])
def test_two_activations(op_type: str, order: list[str], gate: bool) -> None:
    m = FloatModel(IMAGE)
    m.conv("x", "a", (4, 4, 1, 1))
    b = (
        m.node("GlobalAveragePool", [m.conv("x", "c", (4, 4, 1, 1))], "mean")
        if gate
        else m.conv("x", "c", (4, 4, 1, 1))
    )
    m.node("Tanh", [b], "b")
    graph, apart = steps_apart(m.build(m.node(op_type, order, "y")), IMAGE)
    assert operators(graph)[-1] == ("mul" if op_type == "Mul" else "add")
    assert "rearrange" not in operators(graph)
    assert apart <= 4.01


@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(
    ("constant", "operator"),
    [
        (np.float32(0.7), "lookup"),
        (np.full((1, 4, 1, 1), 0.7, np.float32), "lookup"),
        (PER_CHANNEL, "conv2d"),
        (PER_CHANNEL[np.newaxis], "conv2d"),
        (FULL, "conv2d"),
        (FULL[:, :1], "conv2d"),
        (FULL[0, 0], "conv2d"),
    ],
    ids=["scalar", "alike", "channels", "batch", "full", "columns", "row"],
)  # fmt: skip
def test_a_constant(op_type: str, constant: np.ndarray, operator: str) -> None:
    if op_type == "Div":
        constant = np.where(np.abs(constant) < 0.2, np.float32(0.2), constant).astype(np.float32)
    graph, apart = steps_apart(model_of(op_type, IMAGE, constant), IMAGE)
    assert operators(graph) == [operator]
    assert apart <= 1.01


@pytest.mark.parametrize(("op_type", "value"), [("Sub", PER_CHANNEL), ("Sub", np.float32(2)), ("Div", np.float32(3))])
def test_a_constant_in_front(op_type: str, value: np.ndarray) -> None:
    m = FloatModel(IMAGE)
    bounds = [m.constant("low", np.float32(1)), m.constant("high", np.float32(3))]
    m.node(op_type, [m.constant("c", np.asarray(value)), m.node("Clip", ["x", *bounds], "clipped")], "y")
    _, apart = steps_apart(m.build("y"), IMAGE)
    assert apart <= 1.01


def test_an_activation_that_a_constant_repeats() -> None:
    m = FloatModel(IMAGE)
    m.node("Add", [m.node("GlobalAveragePool", ["x"], "mean"), m.constant("c", FULL)], "y")
    graph, apart = steps_apart(m.build("y"), IMAGE)
    assert operators(graph) == ["average_pool2d", "rearrange", "conv2d"]
    assert apart <= 1.51


def test_rows_and_their_scale() -> None:
    m = FloatModel((3, 6))
    m.node("Mul", ["x", m.node("Softmax", ["x"], "soft", axis=-1)], "y")
    graph, apart = steps_apart(m.build("y"), (3, 6))
    assert operators(graph) == ["softmax", "mul"]
    assert apart <= 1.51


@pytest.mark.parametrize(
    ("op_type", "constant", "message"),
    [
        ("Div", np.float32(0), "net: node 'y' (Div): its constant holds a zero; check the model for NaN and zeros"),
        ("Mul", np.float32("nan"), "net: node 'y' (Mul): its constant is not finite; "
         "check the model for NaN and zeros"),
        ("Mul", np.ones((2, 4, 6, 5), np.float32), "net: node 'y' (Mul): its constant has shape (2, 4, 6, 5); "
         "only constants without a batch axis are supported"),
    ],
)  # fmt: skip
def test_refusals(op_type: str, constant: np.ndarray, message: str) -> None:
    usable = np.ones_like(constant[:1] if constant.ndim == 4 else constant)
    model = quantized(model_of(op_type, IMAGE, usable), IMAGE)
    stored = next(i for i in model.graph.initializer if i.name == "c0")
    stored.CopyFrom(numpy_helper.from_array(np.asarray(constant), "c0"))
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == message


UNARY = [
    ("LeakyRelu", {}), ("LeakyRelu", {"alpha": 0.3}), ("ThresholdedRelu", {"alpha": 0.5}), ("Elu", {"alpha": 0.7}),
    ("Selu", {}), ("Celu", {"alpha": 2.0}), ("Gelu", {}), ("Gelu", {"approximate": "tanh"}), ("Sigmoid", {}),
    ("HardSigmoid", {}), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.4}), ("HardSwish", {}), ("Mish", {}), ("Tanh", {}),
    ("Softplus", {}), ("Softsign", {}), ("Erf", {}), ("Exp", {}), ("Sin", {}), ("Cos", {}), ("Abs", {}), ("Neg", {}),
    ("Sign", {}), ("Floor", {}), ("Ceil", {}), ("Round", {}),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "attributes"), UNARY)
def test_functions_of_one_value(op_type: str, attributes: dict[str, object]) -> None:
    model = model_of(op_type, IMAGE, **attributes)
    graph, apart = steps_apart(model, IMAGE)
    assert operators(graph) == ["lookup"]
    assert apart <= 1.01


@pytest.mark.parametrize("op_type", ["Log", "Sqrt", "Reciprocal", "Pow"])
def test_functions_of_positive_values(op_type: str) -> None:
    m = FloatModel(IMAGE)
    bounds = [m.constant("low", np.float32(1)), m.constant("high", np.float32(3))]
    m.node(
        op_type, [m.node("Clip", ["x", *bounds], "c"), *([m.constant("e", np.float32(2))] * (op_type == "Pow"))], "y"
    )
    graph, apart = steps_apart(m.build("y"), IMAGE)
    assert operators(graph) == ["lookup", "lookup"]
    assert apart <= 1.01


def test_where_a_function_is_no_number_the_table_says_zero() -> None:
    operator = Lookup.of(np.log, (0.1, 0), (0.1, 5))
    assert operator.table[:128].tolist() == [5] * 128
    assert operator.table[128] == -128


@pytest.mark.parametrize(
    ("slopes", "operator"),
    [(np.full((4, 1, 1), 0.1), "lookup"), (PER_CHANNEL, "prelu"), (FULL, "prelu"), (FULL[:1], "prelu")],
    ids=["alike", "channels", "full", "positions"],
)
def test_slopes_of_negative_values(slopes: np.ndarray, operator: str) -> None:
    graph, apart = steps_apart(model_of("PRelu", IMAGE, slopes.astype(np.float32)), IMAGE)
    assert operators(graph) == [operator]
    assert apart <= 1.01


@pytest.mark.parametrize("op_type", ["Max", "Min"])
def test_a_bound(op_type: str) -> None:
    m = FloatModel(IMAGE)
    m.node(op_type, [m.constant("bound", np.array([0.3], np.float32)), "x"], "y")
    graph, apart = steps_apart(m.build("y"), IMAGE)
    assert operators(graph) == ["lookup"]
    assert apart <= 1.01


@pytest.mark.parametrize("op_type", ["Max", "Min"])
def test_the_extreme_of_two_activations(op_type: str) -> None:
    m = FloatModel(IMAGE)
    other = m.node("Mul", [m.conv("x", "conv", (4, 4, 1, 1)), m.constant("four", np.float32(4))], "other")
    m.node("Relu", [m.node(op_type, ["x", other], "extreme")], "y")
    last = m.conv("y", "last", (4, 4, 3, 3))
    graph, apart = steps_apart(m.build(last, "y"), IMAGE)
    assert operators(graph)[-3:] == ["concat", "reduce", "conv2d"]
    assert apart <= 2.01


@pytest.mark.parametrize("op_type", ["Max", "Min"])
def test_the_extreme_of_two_vectors(op_type: str) -> None:
    m = FloatModel((6,))
    m.node(op_type, [m.gemm("x", "a", 5, 6), m.gemm("x", "b", 5, 6)], "y")
    graph, apart = steps_apart(m.build("y"), (6,))
    assert operators(graph) == ["fully_connected", "fully_connected", "concat", "reduce"]
    assert apart <= 1.01


@pytest.mark.parametrize("op_type", ["Max", "Min"])
def test_the_extreme_of_three_activations_of_two_shapes(op_type: str) -> None:
    m = FloatModel(IMAGE)
    mean = m.node("GlobalAveragePool", ["x"], "mean")
    m.node(op_type, [mean, m.conv("x", "conv", (4, 4, 1, 1)), "x"], "extreme")
    last = m.conv("extreme", "last", (4, 4, 3, 3))
    graph, apart = steps_apart(m.build(last, "extreme"), IMAGE)
    assert operators(graph) == ["average_pool2d", "conv2d", "rearrange", "concat", "reduce", "conv2d"]
    assert apart <= 1.01


def test_bounds_that_are_tensors_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("Max", IMAGE, PER_CHANNEL), IMAGE)
    assert str(caught.value) == (
        "net: node 'y' (Max): compares tensors; only activations, or one and a constant number, are supported"
    )


@pytest.mark.parametrize(
    ("op_type", "message"),
    [
        ("Div", "divides by an activation; only a constant divisor, or one constant number over an activation, "
         "is supported"),
        ("PRelu", "its input 's/dequantized' is not a constant; only constant ones are supported"),
        ("Pow", "its input 's/dequantized' is not a constant; only constant ones are supported"),
    ],
)  # fmt: skip
def test_an_activation_in_place_of_a_constant_is_refused(op_type: str, message: str) -> None:
    m = FloatModel(IMAGE)
    m.node(op_type, ["x", m.node("Sigmoid", ["x"], "s")], "y")
    model = m.build("y")
    next(node for node in model.graph.node if node.name == "y").op_type = "Mul"
    model = quantized(model, IMAGE)
    next(node for node in model.graph.node if node.op_type == "Mul").op_type = op_type
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == f"net: node 'y' ({op_type}): {message}"


def test_several_exponents_are_refused() -> None:
    model = quantized(model_of("Pow", IMAGE, np.full((4, 1, 1), 2, np.float32)), IMAGE)
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == ("net: node 'y' (Pow): has several exponents; only one constant number is supported")


def test_borders_that_are_not_constant_are_refused() -> None:
    m = FloatModel(IMAGE)
    names = [m.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1])), m.constant("value", np.float32(0))]
    m.node("Pad", ["x", *names], "y")
    model = quantized(m.build("y"), IMAGE)
    pad = next(node for node in model.graph.node if node.op_type == "Pad")
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["stored", "x/scale"], ["read"]))
    model.graph.input.append(helper.make_tensor_value_info("stored", TensorProto.UINT8, [1]))
    pad.input[2] = "read"
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    assert str(caught.value) == (
        "net: node 'y' (Pad): its input 'read' is not a constant; only constant ones are supported"
    )


def test_one_constant_number_for_each_of_several_makes_them_several() -> None:
    m = FloatModel((5, 4))
    mean = m.node("ReduceMean", ["x", m.constant("axes", np.array([2]))], "mean", keepdims=1)
    m.node("Mul", [mean, m.constant("alike", np.full(3, 2, np.float32))], "y")
    graph, apart = steps_apart(m.build("y"), (5, 4))
    assert graph.tensors["y"].shape == (5, 3)
    assert apart <= 1.01
