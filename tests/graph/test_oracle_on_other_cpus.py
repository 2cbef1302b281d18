"""ONNX Runtime is exact on CPUs without VNNI too: there u8 x s8 sums saturate in 16 bits, but ours are s8 x s8, and the
files of others are opened with what keeps them exact."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import nnrules
from nnrules.graph.emit import integer_model
from nnrules.graph.operator import Geometry, Operator
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected
from nnrules.graph.requant import Requantization
from tests.graph.test_operators import single
from tests.needs import need_command

SCRIPT = """
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession("model.onnx", options, ["CPUExecutionProvider"])
numpy.save("y.npy", session.run(["y"], {"x0": numpy.load("x.npy")})[0])
"""
OPENED = """
import numpy
from nnrules.graph.runtime import session
numpy.save("y.npy", session("model.onnx").run(["y"], {"x": numpy.load("x.npy")})[0])
"""
RULE = Requantization(np.array([2**10], np.int32), np.zeros(1, np.uint8), 0, -128, 127)


def layers() -> list[tuple[Operator, tuple[int, ...]]]:
    """Long sums of large products: 640 inputs, and 3 x 3 x 64."""
    chance = np.random.default_rng(5)
    fully = chance.choice(np.array([-127, 127], np.int8), (32, 640))
    kernels = chance.choice(np.array([-127, 127], np.int8), (16, 3, 3, 64))
    geometry = Geometry(kernel=(3, 3), padding=(1, 1, 1, 1))
    return [
        (FullyConnected(weights=fully, bias=np.zeros(32, np.int32), x_zero_point=-128, requantization=RULE), (640,)),
        (
            Conv2d(
                geometry=geometry, weights=kernels, bias=np.zeros(16, np.int32), x_zero_point=127, requantization=RULE
            ),
            (7, 7, 64),
        ),
    ]


def foreign(layout: str, weights: np.ndarray) -> onnx.ModelProto:
    """x of 0 to 255 times int8 weights; the result has steps of 1000."""
    steps = {"one": np.float32(1), "many": np.float32(1000)}
    points = {"u8": np.uint8(0), "s8": np.int8(0), "middle": np.uint8(128)}
    ends = [["x", "one", "u8"], ["w", "one", "s8"], ["y", "many", "middle"]]
    nodes = [helper.make_node("QuantizeLinear", ends[0], ["x/q"])]
    if layout == "QDQ":
        nodes += [helper.make_node("DequantizeLinear", [f"{v}/q", *edge], [f"{v}/d"]) for v, *edge in ends[:2]]
        nodes += [
            helper.make_node("MatMul", ["x/d", "w/d"], ["y/r"]),
            helper.make_node("QuantizeLinear", ["y/r", "many", "middle"], ["y/q"]),
        ]
    else:
        given = ["x/q", "one", "u8", "w/q", "one", "s8", "many", "middle"]
        nodes.append(helper.make_node("QLinearMatMul", given, ["y/q"]))
    nodes.append(helper.make_node("DequantizeLinear", ["y/q", "many", "middle"], ["y"]))
    known = {name: np.asarray(each) for name, each in (steps | points).items()} | {"w/q": weights}
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", weights.shape[0]])],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(each, name) for name, each in known.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates another x86-64 CPU")
@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
def test_files_of_others_are_exact_on_haswell(layout: str, tmp_path: Path) -> None:
    need_command("qemu-x86_64", "qemu-user")
    chance = np.random.default_rng(7)
    x, weights = chance.integers(200, 256, (4, 64)), chance.choice(np.array([-127, 127], np.int8), (64, 8))
    onnx.save(foreign(layout, weights), tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", x.astype(np.float32))
    command = ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", OPENED]
    here = {**os.environ, "PYTHONPATH": str(Path(nnrules.__file__).parents[1])}
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300, env=here)
    levels = np.clip(np.rint(x @ weights.astype(np.int64) / 1000), -128, 127)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), levels * 1000)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates another x86-64 CPU")
@pytest.mark.parametrize(("operator", "shape"), layers(), ids=["fully_connected", "conv2d"])
def test_sums_are_exact_on_haswell(operator: Operator, shape: tuple[int, ...], tmp_path: Path) -> None:
    need_command("qemu-x86_64", "qemu-user")
    x = np.random.default_rng(6).choice(np.array([-128, 126, 127], np.int8), (2, *shape))
    onnx.save(integer_model(single(operator, [shape])), tmp_path / "model.onnx")
    np.save(tmp_path / "x.npy", np.moveaxis(x, -1, 1) if x.ndim == 4 else x)
    command = ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", SCRIPT]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    y = np.load(tmp_path / "y.npy")
    np.testing.assert_array_equal(np.moveaxis(y, 1, -1) if y.ndim == 4 else y, operator.reference(x))
