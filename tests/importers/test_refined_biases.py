"""Weights of few levels, as Brevitas writes them at 2 bits, beside a bias that is real."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.importers.pipeline import through

EDGE, STEP, END = 0.4, 0.06, 0.01


def test_a_bias_is_not_as_coarse_as_its_weights(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    constants = {
        "edge": np.float32(EDGE), "step": np.float32(STEP), "end": np.float32(END), "zero": np.int8(0),
        "weights": random.integers(-1, 2, (4, 8)).astype(np.int8), "bias": random.normal(0, 0.1, 4).astype(np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "edge", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "edge", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["weights", "step", "zero"], ["w"]),
        helper.make_node("Gemm", ["xd", "w", "bias"], ["a"], transB=1),
        helper.make_node("QuantizeLinear", ["a", "end", "zero"], ["aq"]),
        helper.make_node("DequantizeLinear", ["aq", "end", "zero"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, n)) for name, n in (("x", 8), ("y", 4)))
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    body = helper.make_graph(nodes, "net", [x], [y], stored)
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "net.onnx")
    found = through(tmp_path / "net.onnx", tmp_path)
    (layer,) = found.graph.nodes
    assert max(each["largest"] for each in found.distances().values()) <= 1
    assert np.array_equal(layer.operator.weights.reshape(4, 8), constants["weights"] * 127)
    unit = layer.operator.requantization.real_scale() * END
    assert np.allclose(layer.operator.bias * unit, constants["bias"], atol=EDGE * STEP / 127)
