"""Activations with a scale for each channel, as NNCF writes them before depthwise convolutions."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from tests.importers.pipeline import Imported, through

CHANNELS, SIZE = 6, 7


def model(activation: str, points: list[int], kind: type, scales: np.ndarray, gain: float = 1.0) -> onnx.ModelProto:
    """A 1x1 convolution, an activation that is quantized by channel, and a depthwise one of two outputs a channel."""
    random = np.random.default_rng(3)
    constants = {
        "edge": np.float32(1 / 64), "none": np.int8(0), "end": np.float32(0.05), "zero": np.float32(0),
        "six": np.float32(6),
        "expand": random.normal(0, gain, (CHANNELS, 3, 1, 1)).astype(np.float32),
        "bias": random.normal(0, gain, CHANNELS).astype(np.float32),
        "depthwise": random.normal(0, 0.3, (2 * CHANNELS, 1, 3, 3)).astype(np.float32),
        "shift": random.normal(0, 1, 2 * CHANNELS).astype(np.float32),
        "scales": scales.astype(np.float32), "points": np.array(points, kind),
    }  # fmt: skip
    bounds = ["zero", "six"] if activation == "Clip" else []
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "edge", "none"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "edge", "none"], ["xd"]),
        helper.make_node("Conv", ["xd", "expand", "bias"], ["a"]),
        helper.make_node(activation, ["a", *bounds], ["b"]),
        helper.make_node("QuantizeLinear", ["b", "scales", "points"], ["bq"], axis=1),
        helper.make_node("DequantizeLinear", ["bq", "scales", "points"], ["bd"], axis=1),
        helper.make_node("Conv", ["bd", "depthwise", "shift"], ["c"], group=CHANNELS, pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c", "end", "none"], ["cq"]),
        helper.make_node("DequantizeLinear", ["cq", "end", "none"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, SIZE, SIZE))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2 * CHANNELS, SIZE, SIZE))
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_model(
        helper.make_graph(nodes, "net", [x], [y], stored), opset_imports=[helper.make_opsetid("", 14)], ir_version=8
    )


def near_the_file(given: onnx.ModelProto, folder: Path, steps: float) -> Imported:
    """Each layer within a step at equal inputs, and the result within so many of the file's own."""
    onnx.save(given, folder / "net.onnx")
    np.savez(folder / "samples.npz", x=np.random.default_rng(1).uniform(-2, 2, (32, 3, SIZE, SIZE)).astype(np.float32))
    found = through(folder / "net.onnx", folder, folder / "samples.npz")
    assert max(each["largest"] for each in found.distances().values()) <= 1
    session = InferenceSession(folder / "net.onnx", providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"x": each[None]})[0] for each in found.x])
    ((_, integer),) = found.outputs()
    assert np.abs(exact - integer).max() / 0.05 <= steps
    return found


SPREAD = np.geomspace(0.002, 6 / 255, CHANNELS)


@pytest.mark.parametrize(
    ("activation", "points", "kind", "scales"),
    [
        ("Relu", [0] * CHANNELS, np.uint8, SPREAD),
        ("Clip", [-128] * CHANNELS, np.int8, np.full(CHANNELS, 6 / 255)),
        ("Clip", [0] * CHANNELS, np.uint8, SPREAD),
    ],
)
def test_the_integers_stay(activation: str, points: list[int], kind: type, scales: np.ndarray, tmp_path: Path) -> None:
    found = near_the_file(model(activation, points, kind, scales), tmp_path, 2.01)
    assert [node.operator.op for node in found.graph.nodes] == ["conv2d", "conv2d"]
    zero = int(found.graph.nodes[0].operator.requantization.zero_point)
    real = found.graph.nodes[0].operator.requantization.real_scale()
    weights = np.abs(found.graph.nodes[0].operator.weights).reshape(CHANNELS, -1).max(1)
    largest = np.abs(numpy_helper.to_array(named(found, "expand"))).reshape(CHANNELS, -1).max(1)
    assert zero == -128
    assert np.allclose(real * weights, largest / 64 / scales, rtol=1e-4)


def named(found: Imported, name: str) -> onnx.TensorProto:
    """A constant of the file."""
    return next(each for each in onnx.load(found.folder / "net.onnx").graph.initializer if each.name == name)


def test_a_channel_with_another_zero_point_keeps_its_range(tmp_path: Path) -> None:
    """NNCF gives channels that were always zero a zero point of their own."""
    scales = np.array([0.01, 0.01, 0.02, 1e-6, 0.01, 0.03])
    near_the_file(model("Relu", [-128, -128, -128, 0, -128, -128], np.int8, scales), tmp_path, 2.01)


def test_elsewhere_one_scale_covers_all(tmp_path: Path) -> None:
    scales = np.array([0.016, 0.018, 0.02, 0.02, 0.019, 0.017])
    found = near_the_file(
        model("HardSwish", [-108, -110, -112, -110, -109, -108], np.int8, scales, gain=0.2), tmp_path, 4.01
    )
    assert [node.operator.op for node in found.graph.nodes] == ["conv2d", "lookup", "conv2d"]
