"""uint8 weights with any zero point: exact, also where they leave 8 bits after it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.runtime import session
from tests.importers.pipeline import Imported, through
from tests.importers.test_tools import quantized_pair

Attributes = dict[str, Any]


def layer(
    op_type: str, shape: tuple[int, ...], weights: np.ndarray, point: np.ndarray, axis: int, **attributes: Any
) -> onnx.ModelProto:
    """One layer of stored weights at scales that are powers of two, so that real numbers are exact."""
    nodes, constants = quantized_pair("x", 2.0**-4, 5)
    scale = np.full(point.shape, 2.0**-10, np.float32)
    nodes.append(helper.make_node("DequantizeLinear", ["w/q", "w/s", "w/z"], ["w"], axis=axis))
    nodes.append(helper.make_node(op_type, ["x/d", "w"], ["y"], name="layer", **attributes))
    after, known = quantized_pair("y", 2.0**-3, -7)
    names = {"w/q": weights, "w/s": scale, "w/z": point.astype(weights.dtype)}
    constants += known + [numpy_helper.from_array(each, name) for name, each in names.items()]
    graph = helper.make_graph(
        nodes + after, "g", [helper.make_tensor_value_info("x", 1, ["n", *shape])],
        [helper.make_tensor_value_info("y/d", 1, None)], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def stored(*shape: int) -> np.ndarray:
    """uint8 with both extremes."""
    values = np.random.default_rng(sum(shape)).integers(90, 170, shape).astype(np.uint8)
    values[(0,) * len(shape)], values[(-1,) * len(shape)] = 0, 255
    return values


IMAGE = (6, 5, 4)
LAYERS: list[tuple[str, tuple[int, ...], tuple[int, ...], int, Attributes]] = [
    ("Conv", IMAGE, (4, 6, 3, 3), 0, {"pads": [1, 1, 1, 1]}),
    ("Conv", IMAGE, (4, 3, 2, 1), 0, {"group": 2}),
    ("Conv", IMAGE, (6, 1, 3, 3), 0, {"group": 6}),
    ("ConvTranspose", IMAGE, (6, 2, 2, 2), 1, {"strides": [2, 2]}),
    ("Gemm", (9,), (9, 5), 1, {}),
    ("Gemm", (9,), (5, 9), 0, {"transB": 1}),
    ("MatMul", (9,), (9, 5), 1, {}),
    ("MatMul", (3, 9), (9, 5), 1, {}),
]


def require_exact(made: onnx.ModelProto, folder: Path) -> Imported:
    """The imported model computes what the file does, and the integer graph what the imported model does."""
    onnx.save(made, folder / "m.onnx")
    found = through(folder / "m.onnx", folder)
    original = session(made.SerializeToString())
    ((exact, integer),) = found.outputs()
    np.testing.assert_array_equal(exact, original.run(None, {"x": found.x})[0])
    assert np.ptp(exact) > 1
    assert np.abs(exact - integer).max() <= 2.0**-3
    assert max(each["largest"] for each in found.distances().values()) <= 1
    return found


@pytest.mark.parametrize(("op_type", "shape", "kernel", "axis", "attributes"), LAYERS)
@pytest.mark.parametrize("points", [[3], [250], [0], [0, 255, 7, 128, 127]])
def test_any_zero_point(
    op_type: str, shape: tuple[int, ...], kernel: tuple[int, ...], axis: int, attributes: Attributes,
    points: list[int], tmp_path: Path,
) -> None:  # fmt: skip
    point = np.array(points[0]) if len(points) == 1 else np.resize(points, kernel[axis])
    found = require_exact(layer(op_type, shape, stored(*kernel), point, axis, **attributes), tmp_path)
    weights = next(node.operator.weights for node in found.graph.nodes if hasattr(node.operator, "weights"))
    centred = np.moveaxis(stored(*kernel).astype(int), axis, -1) - point
    assert weights.dtype == np.int8
    assert np.abs(weights.astype(int)).sum() == np.abs(centred).sum()


def test_weights_that_fit_are_left_alone(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).integers(0, 200, (4, 6, 1, 1)).astype(np.uint8)
    found = require_exact(layer("Conv", IMAGE, weights, np.array(90), 0), tmp_path)
    assert [node.operator.op for node in found.graph.nodes] == ["conv2d"]
    np.testing.assert_array_equal(found.graph.nodes[0].operator.weights[:, 0, 0], weights[:, :, 0, 0].astype(int) - 90)


def test_only_channels_that_need_it_are_repeated(tmp_path: Path) -> None:
    weights = np.full((4, 6, 1, 1), 100, np.uint8)
    weights[1, 2], weights[3, 4] = 255, 0
    found = require_exact(layer("Conv", IMAGE, weights, np.array(90), 0), tmp_path)
    assert [node.operator.op for node in found.graph.nodes] == ["rearrange", "conv2d"]
    np.testing.assert_array_equal(
        found.graph.nodes[1].operator.weights[:, 0, 0],
        [[10] * 6 + [0], [10, 10, 127, 10, 10, 10, 38], [10] * 6 + [0], [10, 10, 10, 10, -90, 10, 0]],
    )


def test_what_is_wider_still_is_refused(tmp_path: Path) -> None:
    weights = np.full((4, 6, 1, 1), 1000, np.int32)
    onnx.save(layer("Conv", IMAGE, weights, np.array(0), 0), tmp_path / "m.onnx")
    with pytest.raises(UserError) as caught:
        through(tmp_path / "m.onnx", tmp_path)
    assert str(caught.value) == (
        "net: node 'layer' (Conv): its weights leave 8 bits after their zero point; "
        "quantize them to 8 bits (weight_type=QuantType.QInt8 in onnxruntime.quantization)"
    )
