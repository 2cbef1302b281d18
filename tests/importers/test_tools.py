"""What the usual exporters and quantizers write is imported, and is within one step of ONNX Runtime at every layer."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from nnrules.error import UserError
from nnrules.graph.importers import import_model
from nnrules.graph.runtime import session
from tests.graph.floats import FloatModel
from tests.graph.test_lowering import quantized
from tests.importers.files.make import network, noise
from tests.importers.pipeline import FILES, Imported, through

SIGNAL_TO_NOISE = 35.0  # decibels at the output, against the file itself


def samples(folder: Path, channels_last: bool = False) -> Path:
    """64 real samples."""
    np.savez(folder / "samples.npz", x=noise(64, channels_last))
    return folder / "samples.npz"


def require_near(found: Imported, layers: int) -> None:
    """At most one step at each layer given equal inputs, of which so many are compared, and a like result."""
    distances = found.distances()
    assert len(distances) >= layers
    assert max(each["largest"] for each in distances.values()) <= 1
    for exact, integer in found.outputs():
        noise_power = np.square(exact - integer).sum() + 1e-12
        assert 10 * np.log10(np.square(exact).sum() / noise_power) > SIGNAL_TO_NOISE


@pytest.mark.parametrize(
    ("name", "channels_last", "layers"),
    [
        ("brevitas_qcdq.onnx", False, 4),
        ("nncf.onnx", False, 7),
        ("tf2onnx_int8.onnx", True, 16),
        ("tf2onnx_float.onnx", True, 16),
        ("keras_int8.tflite", True, 16),
        ("keras_float_edges.tflite", True, 16),
        ("keras_float.tflite", True, 16),
        ("keras_sizes.tflite", True, 5),
    ],
)
def test_files_of_tools(name: str, channels_last: bool, layers: int, tmp_path: Path) -> None:
    require_near(through(FILES / name, tmp_path, samples(tmp_path, channels_last)), layers)


def test_transposes_of_channels_last_models_move_nothing(tmp_path: Path) -> None:
    for name in ("tf2onnx_int8.onnx", "keras_int8.tflite"):
        graph = through(FILES / name, tmp_path).graph
        assert "rearrange" not in [node.operator.op for node in graph.nodes]
        assert graph.tensors[graph.inputs[0]].layout == "nhwc"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float network by both exporters of torch."""
    import torch

    folder, x = tmp_path_factory.mktemp("torch"), torch.from_numpy(noise(1))
    script, names = str(folder / "script.onnx"), {"input_names": ["image"]}
    torch.onnx.export(network(), x, script, dynamo=False, opset_version=11, dynamic_axes={"image": {0: "n"}}, **names)
    torch.onnx.export(network(), (x,), str(folder / "dynamo.onnx"), dynamo=True, **names)
    return folder


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["script.onnx", "dynamo.onnx"])
def test_both_exporters_of_torch(exported: Path, name: str, tmp_path: Path) -> None:
    require_near(through(exported / name, tmp_path, samples(tmp_path)), 6)


def quantize_static(exported: Path, folder: Path, layout: str, activations: str, weights: str, **options: bool) -> Path:
    """The script exporter's file by onnxruntime.quantization."""
    from onnxruntime import quantization as tool

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter([{"image": each[None]} for each in noise(16)])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    path = folder / "quantized.onnx"
    tool.quantize_static(
        exported / "script.onnx", path, Reader(), quant_format=tool.QuantFormat[layout],
        activation_type=tool.QuantType[activations], weight_type=tool.QuantType[weights], **options,
    )  # fmt: skip
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
@pytest.mark.parametrize(("activations", "per_channel"), [("QInt8", True), ("QUInt8", False)])
def test_onnxruntime_quantization(
    exported: Path, layout: str, activations: str, per_channel: bool, tmp_path: Path
) -> None:
    path = quantize_static(exported, tmp_path, layout, activations, "QInt8", per_channel=per_channel)
    found = through(path, tmp_path, samples(tmp_path))
    require_near(found, 7)
    stored = next(i for i in onnx.load(path).graph.initializer if i.name.endswith("head.weight_quantized"))
    head = found.graph.nodes[-1].operator
    assert sorted(np.abs(head.weights).ravel()) == sorted(np.abs(numpy_helper.to_array(stored).astype(int)).ravel())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_onnxruntime_quantization_with_asymmetric_weights(
    exported: Path, layout: str, per_channel: bool, tmp_path: Path
) -> None:
    path = quantize_static(exported, tmp_path, layout, "QUInt8", "QUInt8", per_channel=per_channel)
    points = [numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer if i.name.endswith("_zero_point")]
    assert any((each != 128).any() for each in points)
    found = through(path, tmp_path, samples(tmp_path))
    require_near(found, 7)
    original = session(path)
    exact = np.concatenate([original.run(None, {"image": each[None]})[0] for each in found.x])
    ((_, integer),) = found.outputs()
    assert np.abs(exact - integer).max() < np.abs(exact).max() * 0.05


def quantized_pair(value: str, scale: float, point: int) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """QuantizeLinear and DequantizeLinear of a value."""
    edge = [f"{value}/s", f"{value}/z"]
    nodes = [
        helper.make_node("QuantizeLinear", [value, *edge], [f"{value}/q"]),
        helper.make_node("DequantizeLinear", [f"{value}/q", *edge], [f"{value}/d"]),
    ]
    constants = [np.float32(scale), np.int8(point)]
    return nodes, [numpy_helper.from_array(np.asarray(c), n) for n, c in zip(edge, constants, strict=True)]


def relu_between(second: tuple[float, int]) -> onnx.ModelProto:
    """A convolution, quantized, Relu, quantized again as `second`."""
    nodes, constants = quantized_pair("x", 0.05, 3)
    weights = {"w/q": np.arange(-8, 8, dtype=np.int8).reshape(4, 4, 1, 1), "w/s": np.float32(0.1)}
    nodes += [
        helper.make_node("DequantizeLinear", ["w/q", "w/s"], ["w"]),
        helper.make_node("Conv", ["x/d", "w"], ["c"]),
    ]
    for value, edge in (("c", (0.2, -5)), ("r", second)):
        if value == "r":
            nodes.append(helper.make_node("Relu", ["c/d"], ["r"]))
        more, known = quantized_pair(value, *edge)
        nodes += more
        constants += known
    constants += [numpy_helper.from_array(np.asarray(each), name) for name, each in weights.items()]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", 4, 3, 3])],
        [helper.make_tensor_value_info("r/d", 1, None)], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.mark.parametrize(("second", "ops"), [((0.2, -5), ["conv2d"]), ((0.1, -128), ["conv2d", "lookup"])])
def test_relu_between_two_quantizations(second: tuple[float, int], ops: list[str], tmp_path: Path) -> None:
    onnx.save(relu_between(second), tmp_path / "m.onnx")
    found = through(tmp_path / "m.onnx", tmp_path)
    assert [node.operator.op for node in found.graph.nodes] == ops
    for exact, integer in found.outputs():  # sums halfway between two levels of the convolution, 0.2 apart, are many
        assert np.abs(exact - integer).max() <= 0.2 * 1.001


@pytest.mark.parametrize("opset", [11, 12, 13, 19, 21, 23, 25])
def test_opsets(opset: int, tmp_path: Path) -> None:
    made = relu_between((0.2, -5))
    made.opset_import[0].version = opset
    onnx.save(made, tmp_path / "m.onnx")
    require_near(through(tmp_path / "m.onnx", tmp_path), 1)


def test_what_nobody_quantized_needs_samples(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        through(FILES / "nncf.onnx", tmp_path)
    assert str(caught.value) == (
        "net: node '/head/Gemm' (Gemm): its output is not quantized, and there are no samples that show its range; "
        "give samples=PATH.npz"
    )


def test_the_stored_integers_are_kept(tmp_path: Path) -> None:
    model = import_model(FILES / "keras_int8.tflite", "net")
    stored = [numpy_helper.to_array(i) for i in model.graph.initializer if i.name.endswith("/quantized")]
    graph = through(FILES / "keras_int8.tflite", tmp_path).graph
    first = next(node.operator for node in graph.nodes if node.operator.op == "conv2d")
    assert any(w.shape == (8, 3, 3, 3) and np.array_equal(first.weights, w.transpose(0, 2, 3, 1)) for w in stored)


def dense(shape: tuple[int, ...]) -> onnx.ModelProto:
    """Normalised input, then a dense layer on the last axis of each row, Relu."""
    chance = np.random.default_rng(0)
    constants = {
        "mean": chance.normal(size=shape[-1]), "inverse": np.array(0.5),
        "w": chance.normal(size=(shape[-1], 5)), "b": chance.normal(size=5),
    }  # fmt: skip
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["s"]), helper.make_node("Mul", ["s", "inverse"], ["m"]),
        helper.make_node("MatMul", ["m", "w"], ["h"]), helper.make_node("Add", ["b", "h"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]  # fmt: skip
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", 1, ["n", *shape])],
        [helper.make_tensor_value_info("y", 1, None)], stored,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("shape", [(6, 8), (4, 6, 8)])
def test_a_dense_layer_on_rows_is_one_convolution(shape: tuple[int, ...], tmp_path: Path) -> None:
    onnx.save(dense(shape), tmp_path / "m.onnx")
    x = np.random.default_rng(1).normal(size=(16, *shape)).astype(np.float32)
    np.savez(tmp_path / "samples.npz", x=x)
    found = through(tmp_path / "m.onnx", tmp_path, tmp_path / "samples.npz")
    require_near(found, 1)
    ops = [node.operator.op for node in found.graph.nodes]
    assert ops.count("conv2d") <= 2  # one may be the subtraction
    assert "rearrange" not in ops


@pytest.mark.parametrize("factors", [{"alpha": 0.5}, {"beta": -2.0}, {"alpha": -3.0, "beta": 0.25}])
@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("stored", [False, True])
def test_the_factors_of_a_dense_layer_are_folded(
    factors: dict[str, float], transposed: int, stored: bool, tmp_path: Path
) -> None:
    chance = np.random.default_rng(0)
    nodes, constants = quantized_pair("x", 0.03, 3)
    weights = chance.integers(-127, 128, (6, 6)).astype(np.int8)
    names = {"w/q": weights, "w/s": np.float32(0.01)} if stored else {"w": (weights * 0.01).astype(np.float32)}
    names["b"] = chance.normal(size=6).astype(np.float32)
    nodes += [helper.make_node("DequantizeLinear", ["w/q", "w/s"], ["w"])] if stored else []
    nodes.append(helper.make_node("Gemm", ["x/d", "w", "b"], ["y"], transB=transposed, **factors))
    more, known = quantized_pair("y", 0.1, 1)
    constants += known + [numpy_helper.from_array(np.asarray(value), name) for name, value in names.items()]
    graph = helper.make_graph(
        nodes + more, "g", [helper.make_tensor_value_info("x", 1, ["n", 6])],
        [helper.make_tensor_value_info("y/d", 1, None)], constants,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, tmp_path / "m.onnx")
    found = through(tmp_path / "m.onnx", tmp_path)
    original = session(made.SerializeToString())
    for exact, integer in found.outputs():
        np.testing.assert_allclose(exact, original.run(None, {"x": found.x})[0], atol=0.101)
        assert np.ptp(exact) > 1
        assert np.abs(exact - integer).max() < (0.101 if stored else 0.401)
    if stored:
        head = found.graph.nodes[-1].operator.weights
        assert np.array_equal(np.abs(head), np.abs(weights if transposed else weights.T))


@pytest.mark.parametrize(("kernel", "stride"), [((2, 2), (2, 2)), ((3, 2), (2, 3)), ((2, 3), (1, 3)), ((3, 3), (3, 3))])
def test_average_pooling_of_torch_that_rounds_its_size_up(
    kernel: tuple[int, int], stride: tuple[int, int], tmp_path: Path
) -> None:
    import torch

    shape = (2, 7, 8)
    m = FloatModel(shape)
    m.node("Add", ["x", m.constant("far", np.float32(5))], "h")
    m.node("AveragePool", ["h"], "y", kernel_shape=kernel, strides=stride, ceil_mode=1, count_include_pad=1)
    np.savez(tmp_path / "s.npz", x=np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32))
    for made in (m.build("y"), quantized(m.build("y"), shape)):
        onnx.save(made, tmp_path / "m.onnx")
        found = through(tmp_path / "m.onnx", tmp_path, tmp_path / "s.npz")
        assert max(each["largest"] for each in found.distances().values()) <= 1
        real = torch.nn.functional.avg_pool2d(torch.from_numpy(found.x + 5), kernel, stride, ceil_mode=True).numpy()
        for each in found.outputs()[0]:
            np.testing.assert_allclose(each, real, atol=0.2)
