"""From a float model to the integer graph: structure, agreement with the QDQ model, and what is refused."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.qdq import quantized_model
from nnrules.error import UserError
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.graph.requant import certified_bias
from nnrules.graph.runtime import session
from nnrules.stages import quantize
from tests.graph.floats import FloatModel


class Noise:
    """Normal noise in place of a dataset."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng(index).normal(size=self.shape).astype(np.float32), 0


def quantized(model: onnx.ModelProto, shape: tuple[int, ...], method: str = "minmax") -> onnx.ModelProto:
    options = QuantizeOptions(method=method, samples=32)
    return quantized_model(model, quantize.calibrated(model, Noise(shape), options, "test.onnx"))


def everything() -> onnx.ModelProto:
    """One of each supported operator."""
    m = FloatModel((3, 16, 12))
    stem = m.node("Relu", [m.conv("x", "stem", (8, 3, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2])], "stem_relu")
    bounds = [m.constant("zero", np.float32(0).reshape(())), m.constant("six", np.float32(6).reshape(()))]
    depthwise = m.node("Clip", [m.conv(stem, "depthwise", (8, 1, 3, 3), pads=[1, 1, 1, 1], group=8), *bounds], "relu6")
    total = m.node("Add", [m.conv(depthwise, "pointwise", (8, 8, 1, 1)), stem], "sum")
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    pooled = [m.node("MaxPool", [total], "largest", **window), m.node("AveragePool", [total], "average", **window)]
    both = m.node("Concat", pooled, "both", axis=1)
    mean = m.node("GlobalAveragePool", [m.node("Sigmoid", [both], "sigmoid")], "mean")
    one = m.gemm(m.node("Flatten", [mean], "mean_flat"), "one", 10, 16)
    flat = m.node("Reshape", [both, m.constant("shape", np.array([0, -1]))], "both_flat")
    two = m.node("MatMul", [flat, m.weights("two.weight", 16 * 4 * 3, 10)], "two")
    logits = m.node("Add", [one, m.node("Relu", [two], "two_relu")], "logits")
    return m.build(m.node("Softmax", [logits], "probabilities", axis=-1), "two_relu")


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_every_operator_is_lowered_and_stays_near_the_qdq_model(method: str) -> None:
    model = quantized(everything(), (3, 16, 12), method)
    graph = lower(model, "test")
    ops = [node.operator.op for node in graph.nodes]
    assert ops.count("conv2d") == 3
    assert set(ops) == {
        "conv2d", "add", "max_pool2d", "average_pool2d", "concat", "lookup", "reshape", "fully_connected", "softmax",
    }  # fmt: skip
    samples = np.stack([Noise((3, 16, 12))[i][0] for i in range(8)])
    x = graph.tensors["x"]
    assert x.layout == "nchw"
    integers = graph.run(x.quantize(x.to_nhwc(samples)))
    for name, real in zip(
        graph.outputs, session(model.SerializeToString()).run(list(graph.outputs), {"x": samples}), strict=True
    ):
        tensor = graph.tensors[name]
        steps = np.abs(tensor.dequantize(integers[name]) - real) / tensor.scale
        assert steps.max() <= 3.01, f"{name} differs by {steps.max():.1f} steps"


def test_fused_activations_become_bounds() -> None:
    graph = lower(quantized(everything(), (3, 16, 12)), "test")
    by_name = {node.output: node.operator for node in graph.nodes}
    relu, relu6 = by_name["stem_relu"].requantization, by_name["relu6"].requantization
    assert (relu.lo, relu.hi) == (relu.zero_point, 127)
    tensor = graph.tensors["relu6"]
    assert tensor.scale * (relu6.hi - relu6.zero_point) <= 6 + tensor.scale


def test_flatten_reorders_weights_instead_of_values() -> None:
    m = FloatModel((2, 3, 4))
    conv = m.conv("x", "conv", (5, 2, 1, 1))
    model = m.build(m.gemm(m.node("Flatten", [conv], "flat"), "fc", 7, 60))
    graph = lower(quantized(model, (2, 3, 4)), "test")
    fc = graph.nodes[-1].operator
    stored = next(
        numpy_helper.to_array(i)
        for i in quantized(model, (2, 3, 4)).graph.initializer
        if i.name == "fc.weight/quantized"
    )
    np.testing.assert_array_equal(fc.weights, stored.reshape(7, 5, 3, 4).transpose(0, 2, 3, 1).reshape(7, -1))


def test_a_channels_last_model_is_understood() -> None:
    m = FloatModel((6, 5, 3))
    first = m.node("Transpose", ["x"], "nchw", perm=[0, 3, 1, 2])
    last = m.node("Transpose", [m.conv(first, "conv", (4, 3, 3, 3))], "nhwc", perm=[0, 2, 3, 1])
    graph = lower(quantized(m.build(last), (6, 5, 3)), "test")
    assert graph.tensors[graph.inputs[0]].layout == "nhwc"
    assert graph.tensors[graph.outputs[0]].layout == "nhwc"
    assert graph.tensors[graph.outputs[0]].shape == (4, 3, 4)


def lowered(edit: Callable[[onnx.ModelProto], None]) -> Graph:
    m = FloatModel((3, 8, 8))
    m.node("Relu", [m.conv("x", "conv", (4, 3, 3, 3))], "relu")
    model = quantized(m.build("relu"), (3, 8, 8))
    edit(model)
    return lower(model, "net")


def attribute(name: str, value: object) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        conv = next(n for n in model.graph.node if n.op_type == "Conv")
        conv.attribute.append(onnx.helper.make_attribute(name, value))

    return edit


def operator_type(op_type: str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        next(n for n in model.graph.node if n.op_type == "Relu").op_type = op_type

    return edit


def constant(name: str, value: np.ndarray) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        next(i for i in model.graph.initializer if i.name == name).CopyFrom(numpy_helper.from_array(value, name))

    return edit


REFUSALS = [
    (
        operator_type("Erf"),
        "net: node 'conv' (Conv): its output 'conv' is not quantized; put QuantizeLinear and DequantizeLinear after it",
    ),
    (
        attribute("layout", "NHWC"),
        "net: node 'conv' (Conv): attribute layout=NHWC is not supported; "
        "supported: strides, dilations, pads, auto_pad, group, kernel_shape",
    ),
    (
        constant("relu/scale", np.array(np.nan, np.float32)),
        "net: node 'relu/quantize' (QuantizeLinear): its scale is nan; check the model for NaN",
    ),
    (
        constant("conv.weight/scale", np.full(4, np.nan, np.float32)),
        "net: node 'conv' (Conv): its weights' scale is not a positive number; check the model for NaN",
    ),
]


@pytest.mark.parametrize(("edit", "message"), REFUSALS)
def test_refusals_name_the_node_and_the_cure(edit: Callable[[onnx.ModelProto], None], message: str) -> None:
    with pytest.raises(UserError) as caught:
        lowered(edit)
    assert str(caught.value) == message


def test_a_bias_beyond_32_bits_is_clamped_where_the_output_saturates() -> None:
    graph = lowered(constant("conv.bias/quantized", np.full(4, 2**31 - 1, np.int32)))
    x = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)
    assert (graph.run(x)["relu"] == 127).all()


def test_a_bias_beyond_32_bits_is_refused_where_it_matters() -> None:
    weights = np.full((1, 4), 127, np.int8)
    with pytest.raises(UserError) as caught:
        certified_bias(weights, np.array([2**31 - 1]), 0, lambda *_: False, "net: node 'fc' (Gemm)")
    assert str(caught.value) == (
        "net: node 'fc' (Gemm): channel 0 can overflow a 32-bit accumulator; narrow the range of its bias or weights"
    )


def test_an_unknown_operator_is_refused_with_its_node() -> None:
    m = FloatModel((3, 8, 8))
    model = quantized(m.build(m.node("Tan", [m.conv("x", "conv", (4, 3, 3, 3))], "tan")), (3, 8, 8))
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    message = "net: node 'tan' (Tan): operator Tan is not supported; docs/import.md lists what is supported"
    assert str(caught.value) == message


def linear(op_type: str, weights: np.ndarray, bias: np.ndarray, x: str = "x", **attributes: object) -> FloatModel:
    """A model of one layer."""
    m = FloatModel((3,) if op_type == "Gemm" else (3, 4, 4))
    names = [x, m.constant("w", weights.astype(np.float32)), m.constant("b", bias.astype(np.float32))]
    m.node(op_type, names, "y", **attributes)
    return m


@pytest.mark.parametrize("magnitude", [0.0, 1e-12, 1e-5, 1e-3])
@pytest.mark.parametrize("reach", [1.6, 1.8, 2.2, 3.0])
def test_a_channel_with_hardly_any_weights_keeps_its_bias(magnitude: float, reach: float) -> None:
    weights = np.zeros((2, 3, 1, 1))
    weights[0], weights[1] = magnitude, 0.1
    model = linear("Conv", weights, np.array([1.0, reach - 1.0])).build("y")
    graph = lower(quantized(model, (3, 4, 4)), "net")
    x = graph.tensors["x"]
    y = graph.tensors["y"].dequantize(graph.run(np.full((1, *x.shape), x.zero_point, np.int8))["y"])
    np.testing.assert_allclose(y[..., 0], 1.0, atol=graph.tensors["y"].scale)


def test_a_bias_that_does_not_saturate_is_not_clamped() -> None:
    edits = [
        constant("conv.weight/quantized", np.zeros((4, 3, 3, 3), np.int8)),
        constant("conv.weight/scale", np.full(4, 1e-12, np.float32)),
        constant("conv.bias/scale", np.full(4, 1.0, np.float32)),
        constant("conv.bias/quantized", np.ones(4, np.int32)),
        constant("relu/scale", np.array(0.05, np.float32)),
    ]
    with pytest.raises(UserError, match=r"can overflow a 32-bit accumulator|too small for a 32-bit multiplier"):
        lowered(lambda model: [edit(model) for edit in edits] and None)


def test_a_bias_with_a_row_of_its_own_is_understood() -> None:
    model = linear("Gemm", np.ones((2, 3)), np.array([[0.5, -0.5]]), transB=1).build("y")
    for node in (qdq := quantized(model, (3,))).graph.node:
        assert node.op_type != "Constant"
    assert lower(qdq, "net").nodes[0].operator.bias.shape == (2,)


def refused(model: onnx.ModelProto) -> str:
    with pytest.raises(UserError) as caught:
        lower(model, "net")
    return str(caught.value)


def test_an_activation_after_softmax_is_not_dropped() -> None:
    m = FloatModel((4,))
    bounds = [m.constant("low", np.float32(0.25)), m.constant("high", np.float32(0.5))]
    m.node("Clip", [m.node("Softmax", ["x"], "soft", axis=-1), *bounds], "y")
    model = quantized(m.build("y"), (4,))
    assert refused(model) == (
        "net: node 'soft' (Softmax): an activation after it cannot be fused; quantize its output first"
    )


def test_scales_along_another_axis_are_refused() -> None:
    model = quantized(linear("Conv", np.ones((3, 3, 1, 1)), np.zeros(3)).build("y"), (3, 4, 4))
    weights = next(n for n in model.graph.node if n.name == "w/dequantize")
    weights.attribute[0].i = 1
    assert refused(model) == (
        "net: node 'y' (Conv): its weights' scales run along axis 1; "
        "only scales along the output channels (axis 0) are supported"
    )


def test_a_value_read_before_it_is_quantized_is_refused() -> None:
    m = FloatModel((4,))
    m.node("Tanh", [m.node("Sigmoid", ["x"], "s")], "t")
    m.node("Add", ["s", "t"], "y")
    model = quantized(m.build("y"), (4,))
    tanh = next(n for n in model.graph.node if n.op_type == "Tanh")
    tanh.input[0] = "s"
    assert refused(model) == (
        "net: node 's' (Sigmoid): its output 's' is read unquantized by node 't'; "
        "let every reader follow the DequantizeLinear"
    )


def test_an_image_of_unknown_size_is_refused() -> None:
    model = quantized(linear("Conv", np.ones((3, 3, 1, 1)), np.zeros(3)).build("y"), (3, 4, 4))
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    assert refused(
        model
    ) == "net: input 'x' has no fixed size: ['N', 3, '?', 4]; export the model with fixed sizes".replace(
        "'x' has", "'x': has"
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    model = quantized(linear("Conv", np.ones((3, 3, 1, 1)), np.zeros(3)).build("y"), (3, 4, 4))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    assert (
        refused(model)
        == "net: node 'y' (Conv): its input has 5 channels, its weights are for 3; export the model again"
    )


def test_a_bias_of_another_length_is_refused() -> None:
    model = quantized(linear("Conv", np.ones((3, 3, 1, 1)), np.zeros(3)).build("y"), (3, 4, 4))
    (conv,) = (node for node in model.graph.node if node.op_type == "Conv")
    conv.input[2] = "other"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(2, np.float32), "other"))
    assert (
        refused(model)
        == "net: node 'y' (Conv): its bias has shape (2,); only one value for each of its 3 channels is supported"
    )


def test_softmax_over_the_batch_is_refused() -> None:
    m = FloatModel((4,))
    m.node("Softmax", ["x"], "y", axis=0)
    assert refused(quantized(m.build("y"), (4,))) == (
        "net: node 'y' (Softmax): works along the batch axis; only axes from 1 on are supported"
    )


def test_shapes_that_onnx_refuses_are_one_line() -> None:
    m = FloatModel((4,))
    m.node("Concat", [m.node("Sigmoid", ["x"], "s"), m.node("Tanh", ["x"], "t")], "y", axis=1)
    model = quantized(m.build("y"), (4,))
    next(n for n in model.graph.node if n.op_type == "Concat").attribute[0].i = 7
    assert refused(model).startswith("net: its shapes do not fit; onnx says: ")
    assert "\n" not in refused(model)


def test_an_output_that_is_the_input_is_refused() -> None:
    m = FloatModel((4,))
    m.node("Identity", ["x"], "same")
    m.node("Sigmoid", ["x"], "y")
    assert refused(quantized(m.build("y", "same"), (4,))) == "net: output 'same': is the model's input; leave it out"


def test_constants_in_any_attribute_are_read() -> None:
    m = FloatModel((4,))
    m.node("Constant", [], "low", value_float=0.25)
    m.node("Constant", [], "high", value_float=0.5)
    m.node("Clip", [m.node("Sigmoid", ["x"], "s"), "low", "high"], "y")
    graph = lower(quantized(m.build("y"), (4,)), "net")
    real = graph.tensors["y"].dequantize(graph.nodes[-1].operator.table)
    assert (round(float(real.min()), 2), round(float(real.max()), 2)) == (0.25, 0.5)
