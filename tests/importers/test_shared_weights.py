"""Float models whose layers share weights and biases: a head on two scales, a layer run twice, a tied autoencoder."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.graph.floats import FloatModel
from tests.importers.pipeline import Imported, through


def head_on_two_scales() -> onnx.ModelProto:
    """One convolution reads two features of very different range, and adds one bias."""
    m = FloatModel((3, 8, 8))
    small = m.conv("x", "small", (4, 3, 3, 3))
    large = m.node("Mul", [m.conv(small, "large", (4, 4, 3, 3)), m.constant("fifty", np.float32(50))], "loud")
    shared = [m.weights("head.weight", 5, 4, 1, 1), m.constant("head.bias", np.linspace(3, 9, 5, dtype=np.float32))]
    return m.build(*(m.node("Conv", [x, *shared], f"{x}_out", kernel_shape=[1, 1]) for x in (small, large)))


def twice_in_a_row() -> onnx.ModelProto:
    """A layer that is run twice, as recurrent ones are."""
    m = FloatModel((6,))
    shared = [m.weights("w", 6, 6), m.constant("b", np.linspace(-2, 2, 6, dtype=np.float32))]
    first = m.node("Relu", [m.node("Gemm", ["x", *shared], "a", transB=1)], "ar")
    return m.build(m.node("Gemm", [first, *shared], "y", transB=1))


def tied(features: int) -> onnx.ModelProto:
    """An autoencoder: a matrix, and behind it its transpose."""
    m = FloatModel((6,))
    code = m.node("Relu", [m.node("MatMul", ["x", m.weights("w", 6, features)], "a")], "code")
    return m.build(m.node("Gemm", [code, "w"], "y", transB=1))


def imported(model: onnx.ModelProto, folder: Path) -> Imported:
    onnx.save(model, folder / "m.onnx")
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim[1:]]
    np.savez(folder / "s.npz", x=np.random.default_rng(1).normal(size=(32, *shape)).astype(np.float32))
    return through(folder / "m.onnx", folder, folder / "s.npz")


@pytest.mark.parametrize("model", [head_on_two_scales(), twice_in_a_row(), tied(4), tied(6)])
def test_layers_share_weights(model: onnx.ModelProto, tmp_path: Path) -> None:
    found = imported(model, tmp_path)
    distances = found.distances()
    assert len(distances) >= 2
    assert max(each["largest"] for each in distances.values()) <= 1
    for exact, integer in found.outputs():
        assert np.abs(exact - integer).max() < np.abs(exact).max() * 0.04


def test_weights_are_stored_once_and_the_bias_at_the_scale_of_each_input(tmp_path: Path) -> None:
    model = imported(head_on_two_scales(), tmp_path).quantized
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    assert len([name for name in constants if name.startswith("head.weight") and name.endswith("/quantized")]) == 1
    biases = [name for name in constants if name.startswith("head.bias/") and name.endswith("/quantized")]
    assert len(biases) == 2
    for name in biases:
        real = constants[name] * constants[name.replace("/quantized", "/scale")]
        np.testing.assert_allclose(real, np.linspace(3, 9, 5), rtol=0.01)
