"""Pad, reductions and scaling: which integer operators, and how near to the quantized model."""

import numpy as np
import pytest
from onnx import helper

from nnrules.error import UserError
from nnrules.graph.lowering import lower
from tests.graph.floats import FloatModel
from tests.graph.models_of_operators import model_of, operators, steps_apart
from tests.graph.test_lowering import quantized

IMAGE = (3, 5, 4)
SOME = np.array([0, 0, 1, 2, 0, 0, 0, 1])
CHANNELS = np.array([0, 2, 0, 0, 0, 1, 1, 0])


@pytest.mark.parametrize("pads", [SOME, CHANNELS])
@pytest.mark.parametrize("value", [None, 0.0, -0.7, 9.0])
def test_pad_with_a_constant(pads: np.ndarray, value: float | None) -> None:
    constants = [pads] if value is None else [pads, np.float32(value)]
    graph, apart = steps_apart(model_of("Pad", IMAGE, *constants), IMAGE)
    assert operators(graph) == ["pad"]
    assert apart <= 0.51


def test_pad_of_named_axes_and_another_scale() -> None:
    m = FloatModel(IMAGE)
    names = [
        m.constant("pads", np.array([1, 2])),
        m.constant("value", np.float32(0)),
        m.constant("axes", np.array([-1])),
    ]
    m.node("Pad", [m.node("Relu", ["x"], "relu"), *names], "y")
    model = quantized(m.build("y"), IMAGE)
    scale = next(i for i in model.graph.initializer if i.name == "relu/scale")
    other = helper.make_tensor("y/scale", 1, [], [0.05])
    model.graph.initializer.append(other)
    for node in model.graph.node:
        if node.name in ("y/quantize", "y/dequantize"):
            node.input[1] = "y/scale"
    graph = lower(model, "net")
    assert scale.float_data != other.float_data
    assert operators(graph) == ["lookup", "pad", "lookup"]


@pytest.mark.parametrize("mode", ["reflect", "edge"])
def test_pad_that_repeats_the_inside(mode: str) -> None:
    graph, apart = steps_apart(model_of("Pad", IMAGE, SOME, mode=mode), IMAGE)
    assert operators(graph) == ["rearrange"]
    assert apart <= 0.51


def test_pad_of_the_batch_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("Pad", IMAGE, np.array([1, 0, 0, 0, 0, 0, 0, 0])), IMAGE)
    assert str(caught.value) == (
        "net: node 'y' (Pad): pads the batch, or by a negative amount; "
        "only borders of other axes are supported; crop with Slice"
    )


@pytest.mark.parametrize("op_type", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("axes", [[2, 3], [1], [3], [-2], [1, 2], [1, 3], [1, 2, 3]])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(op_type: str, axes: list[int], keepdims: int) -> None:
    graph, apart = steps_apart(model_of(op_type, IMAGE, np.array(axes), keepdims=keepdims), IMAGE)
    usual = "average_pool2d" if (op_type, axes) == ("ReduceMean", [2, 3]) else "reduce"
    assert operators(graph) == (["rearrange", "reduce"] if axes == [1, 2] else [usual])
    assert apart <= 1.01


def test_a_reduction_of_rows_feeds_a_layer() -> None:
    m = FloatModel((6, 8))
    m.gemm(m.node("ReduceMean", ["x", m.constant("axes", np.array([1]))], "mean", keepdims=0), "y", 4, 8)
    graph, apart = steps_apart(m.build("y"), (6, 8))
    assert operators(graph) == ["reduce", "fully_connected"]
    assert apart <= 1.51


def test_a_reduction_of_everything_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("ReduceMean", IMAGE, np.array([0, 1])), IMAGE)
    assert str(caught.value) == ("net: node 'y' (ReduceMean): works along the batch; name the other axes in 'axes'")


def test_the_largest_value_of_an_image() -> None:
    graph, apart = steps_apart(model_of("GlobalMaxPool", IMAGE), IMAGE)
    assert operators(graph) == ["max_pool2d"]
    assert apart <= 0.51


NONE = np.zeros(0, np.float32)
MODES = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scales", [(2, 2), (3, 2), (1.5, 0.5), (0.4, 1.75)])
@pytest.mark.parametrize("kind", ["linear", "nearest"])
def test_resize(mode: str, scales: tuple[float, float], kind: str) -> None:
    constants = [NONE, np.array([1, 1, *scales], np.float32)]
    model = model_of("Resize", IMAGE, *constants, mode=kind, coordinate_transformation_mode=mode)
    graph, apart = steps_apart(model, IMAGE)
    assert operators(graph) == ["rearrange" if kind == "nearest" else "resize_linear"]
    assert apart <= 1.01


@pytest.mark.parametrize("kind", ["linear", "nearest"])
@pytest.mark.parametrize("target", [[NONE, np.array([7, 9])], [np.array([1.7, 0.6], np.float32)]])
def test_resize_of_named_axes(kind: str, target: list[np.ndarray]) -> None:
    _, apart = steps_apart(model_of("Resize", IMAGE, NONE, *target, mode=kind, axes=[2, 3]), IMAGE)
    assert apart <= 1.01


def test_a_nearest_resize_repeats_nothing_before_it_must() -> None:
    m = FloatModel(IMAGE)
    names = [m.constant("roi", NONE), m.constant("scales", np.array([1, 1, 2, 2], np.float32))]
    large = m.node("Resize", ["x", *names], "large", mode="nearest", coordinate_transformation_mode="asymmetric")
    graph, apart = steps_apart(m.build(m.conv(m.node("Sigmoid", [large], "s"), "y", (2, 3, 3, 3))), IMAGE)
    assert operators(graph) == ["lookup", "rearrange", "conv2d"]
    assert graph.tensors[graph.nodes[0].output].size == 3 * 5 * 4
    assert apart <= 1.01


def test_cubic_is_refused() -> None:
    constants = [NONE, np.array([1, 1, 2, 2], np.float32)]
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("Resize", IMAGE, *constants, mode="cubic"), IMAGE)
    assert str(caught.value) == (
        "net: node 'y' (Resize): mode cubic with half_pixel is not supported; supported: nearest, and linear with "
        "half_pixel, pytorch_half_pixel, asymmetric, align_corners"
    )


@pytest.mark.parametrize(("value", "found"), [(0.0, ["conv2d"]), (1.0, ["pad", "conv2d"])])
def test_a_border_of_zeros_is_the_convolutions_own(value: float, found: list[str]) -> None:
    m = FloatModel(IMAGE)
    pads = [m.constant("pads", np.array([0, 0, 0, 1, 0, 0, 1, 2])), m.constant("value", np.float32(value))]
    padded = m.node("Pad", ["x", *pads], "padded")
    graph, apart = steps_apart(m.build(m.conv(padded, "y", (2, 3, 3, 3), strides=[2, 2], pads=[1, 0, 0, 0])), IMAGE)
    assert operators(graph) == found
    if len(found) == 1:
        assert graph.nodes[0].operator.geometry.padding == (1, 1, 1, 2)
        assert set(graph.tensors) == {"x", graph.nodes[0].output}
    assert apart <= 1.01


def test_a_border_wider_than_the_window_stays() -> None:
    m = FloatModel(IMAGE)
    padded = m.node("Pad", ["x", m.constant("pads", np.array([0, 0, 2, 0, 0, 0, 0, 0]))], "padded")
    graph, apart = steps_apart(m.build(m.conv(padded, "y", (2, 3, 2, 2))), IMAGE)
    assert operators(graph) == ["pad", "conv2d"]
    assert apart <= 1.01


def test_a_border_of_zeros_after_relu_is_the_poolings_own() -> None:
    m = FloatModel(IMAGE)
    padded = m.node("Pad", [m.node("Relu", ["x"], "relu"), m.constant("pads", np.array([0, 0, 1, 1, 0, 0, 1, 1]))], "p")
    graph, apart = steps_apart(m.build(m.node("MaxPool", [padded], "y", kernel_shape=[3, 3], strides=[2, 2])), IMAGE)
    assert operators(graph) == ["lookup", "max_pool2d"]
    assert apart <= 0.51


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(("kernel", "pads"), [(2, [0, 0, 0, 0]), (3, [0, 0, 0, 0]), (3, [1, 0, 1, 1])])
def test_pooling_that_rounds_its_size_up(op_type: str, kernel: int, pads: list[int]) -> None:
    window = {"kernel_shape": [kernel] * 2, "strides": [2, 3], "pads": pads, "ceil_mode": 1}
    _, apart = steps_apart(model_of(op_type, IMAGE, **window), IMAGE)
    assert apart <= 1.01


def test_a_window_that_begins_in_the_padding_is_refused() -> None:
    model = model_of("MaxPool", IMAGE, kernel_shape=[2, 2], strides=[2, 3], pads=[1, 0, 1, 1], ceil_mode=1)
    with pytest.raises(UserError) as caught:
        lower(quantized(model, IMAGE), "net")
    assert str(caught.value) == (
        "net: node 'y' (MaxPool): gives shape (N, 3, 3, 2) where onnx expects (N, 3, 4, 2); "
        "change its padding or ceil_mode, so that no window begins behind"
    )


def test_padding_counts_where_rounding_up_changes_nothing() -> None:
    window = {"kernel_shape": [1, 2], "pads": [0, 1, 0, 1], "ceil_mode": 1, "count_include_pad": 1}
    graph, apart = steps_apart(model_of("AveragePool", IMAGE, **window), IMAGE)
    assert apart <= 1.01
    assert graph.nodes[-1].operator.count_include_pad


def test_what_a_window_reaches_behind_the_image_does_not_count() -> None:
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1, "count_include_pad": 1}
    m = FloatModel((2, 7, 7))
    far = m.node("Add", ["x", m.constant("far", np.float32(5))], "h")
    graph = lower(quantized(m.build(m.node("AveragePool", [far], "y", **window)), (2, 7, 7)), "net")
    x, y = (graph.tensors[name] for name in (graph.inputs[0], graph.outputs[0]))
    found = y.dequantize(graph.run(x.quantize(np.ones((1, 7, 7, 2), np.float32)))[y.name])
    np.testing.assert_allclose(found, 6, atol=0.05)


def test_pooling_that_rounds_up_and_counts_padding_is_refused() -> None:
    window = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [1, 1, 0, 0], "ceil_mode": 1, "count_include_pad": 1}
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("AveragePool", IMAGE, **window), IMAGE)
    assert str(caught.value) == (
        "net: node 'y' (AveragePool): counts its padding and rounds its size up; "
        "only one of count_include_pad and ceil_mode is supported"
    )


def test_borders_along_many_axes_are_refused() -> None:
    shape = (2, 3, 2, 3)
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("Pad", shape, np.array([0, 1, 1, 1, 1, 0, 1, 1, 1, 1])), shape)
    assert str(caught.value) == "net: node 'y' (Pad): has borders along 4 axes; at most 3 are supported"


def test_volumes_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        steps_apart(model_of("MaxPool", (2, 4, 4, 4), kernel_shape=[2, 2, 2]), (2, 4, 4, 4))
    assert str(caught.value) == (
        "net: node 'y' (MaxPool): its input has shape (N, 2, 4, 4, 4); "
        "only signals (N, C, L) and images (N, C, H, W) are supported"
    )
