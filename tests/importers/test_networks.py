"""Small networks as torch exports them: what their architectures are known for is imported, near the float model."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nnrules.graph.importers import import_model
from tests.importers.pipeline import Imported, through
from tests.importers.test_tools import require_near

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional


def exported(network: Any, shape: tuple[int, ...], folder: Path, opset: int, **options: Any) -> Path:
    """`net.onnx`, its weights drawn by lot, and `samples.npz` beside it."""
    torch.manual_seed(0)
    x = np.random.default_rng(1).uniform(-1, 1, (32, *shape)).astype(np.float32)
    np.savez(folder / "samples.npz", x=x)
    path = folder / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(), (torch.from_numpy(x[:1]),), path, opset_version=opset, input_names=["x"], **options
        )
    return path


def imported(network: Any, shape: tuple[int, ...], folder: Path, opset: int = 17, **options: Any) -> Imported:
    """The network through both, the first exporter unless `options` say otherwise."""
    path = exported(network, shape, folder, opset, **{"dynamo": False, **options})
    return through(path, folder, folder / "samples.npz")


def quantized_by_onnxruntime(path: Path, layout: str) -> Path:
    """`quantized.onnx` beside a file that its optimizer has gone over, as its guide asks for."""
    from onnxruntime import quantization as tool
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            x = np.load(path.with_name("samples.npz"))["x"]
            self.left = iter([{"x": each[None]} for each in x])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    ready, result = path.with_name("ready.onnx"), path.with_name("quantized.onnx")
    quant_pre_process(path, ready)
    kinds = {"activation_type": tool.QuantType.QUInt8, "weight_type": tool.QuantType.QInt8}
    tool.quantize_static(ready, result, Reader(), quant_format=tool.QuantFormat[layout], **kinds)
    return result


class Unflattened(nn.Module):
    """A decoder: exported with slices of shapes that hold nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.dense, self.shape = nn.Linear(6, 64), nn.Unflatten(1, (4, 4, 4))
        self.up = nn.ConvTranspose2d(4, 2, 4, 2, 1)

    def forward(self, x: Any) -> Any:
        return torch.sigmoid(self.up(self.shape(self.dense(x).relu())))


class Split(nn.Module):
    """Parts of unequal size, in an opset whose Split and Softmax are of different times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 7, 3)

    def forward(self, x: Any) -> Any:
        box, score = self.conv(x).split((4, 3), 1)
        return torch.cat((box.softmax(1), score.sigmoid()), 1)


class Cut(nn.Module):
    """A slice of what a layer made, behind a pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 7, 3)

    def forward(self, x: Any) -> Any:
        return functional.avg_pool2d(self.conv(x)[:, :5], 2).flatten(1)


class Means(nn.Module):
    """Means of rows and columns (coordinate attention) of an image with as many channels as rows and columns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 8, 3, padding=1)

    def forward(self, x: Any) -> Any:
        x = self.conv(x)
        return x * torch.sigmoid(x.mean(3, keepdim=True)) * torch.sigmoid(x.mean(2, keepdim=True))


class Rows(nn.Module):
    """Linear layers on each step of a sequence, and attention pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.score = nn.Linear(6, 10), nn.Linear(10, 8), nn.Linear(8, 1, bias=False)

    def forward(self, x: Any) -> Any:
        x = self.second(self.first(x).relu())
        return (torch.softmax(self.score(x), 1) * x).sum(1)


class Fusion(nn.Module):
    """Two branches under weights whose sum is one (BiFPN); the weights are computed from a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3)
        self.weights = nn.Parameter(torch.tensor([0.7, 0.4]))

    def forward(self, x: Any) -> Any:
        weights = self.weights.relu() / (self.weights.relu().sum() + 1e-4)
        return weights[0] * self.a(x) + weights[1] * self.b(x)


def test_shapes_whose_slices_are_empty(tmp_path: Path) -> None:
    require_near(imported(Unflattened(), (6,), tmp_path, 13), 3)


def test_unequal_parts_and_softmax_of_opset_11(tmp_path: Path) -> None:
    require_near(imported(Split(), (2, 6, 6), tmp_path, 11), 4)


@pytest.mark.parametrize("opset", [18, 21, 23])
def test_onnxruntime_runs_what_quantization_makes_of_any_opset(opset: int, tmp_path: Path) -> None:
    found = imported(Cut(), (2, 8, 8), tmp_path, opset, dynamo=opset > 20)
    require_near(found, 2)
    onnx.save(found.quantized, tmp_path / "quantized.onnx")
    import onnxruntime

    onnxruntime.InferenceSession(tmp_path / "quantized.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
@pytest.mark.parametrize(("network", "shape", "layers"), [(Rows, (5, 6), 4), (Fusion, (2, 6, 6), 4)])
def test_what_onnxruntime_makes_of_them(
    network: Any, shape: tuple[int, ...], layers: int, layout: str, tmp_path: Path
) -> None:
    """Its optimizer writes a Linear on rows as a Gemm of (rows, in) between Reshapes; its quantizer leaves some
    constants to be computed from quantized ones.
    """
    path = exported(network(), shape, tmp_path, 13, dynamo=False)
    quantized = quantized_by_onnxruntime(path, layout)
    require_near(through(quantized, tmp_path, tmp_path / "samples.npz"), layers)


def test_an_operator_of_a_later_opset_keeps_it(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("Swish", ["x"], ["y"], alpha=1.5)]
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ("N", 3)) for name in "xy")
    body = onnx.helper.make_graph(nodes, "net", [x], [y])
    path = tmp_path / "n.onnx"
    onnx.save(onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 24)]), path)
    assert import_model(path, "n").opset_import[0].version == 24


def test_layers_of_equal_axes_are_compared_as_they_lie(tmp_path: Path) -> None:
    require_near(imported(Means(), (2, 8, 8), tmp_path), 7)


class Block(nn.Module):
    """What a transformer's block is made of, normalization before and behind."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(8), nn.LayerNorm(8, elementwise_affine=False)
        self.dense = nn.Linear(8, 8)
        self.first.weight.data.uniform_(0.5, 1.5)
        self.first.bias.data.normal_()

    def forward(self, x: Any) -> Any:
        return self.second(x + functional.gelu(self.dense(self.first(x))))


@pytest.mark.parametrize("opset", [12, 16, 17, 20])
def test_layer_normalization_in_parts_or_as_one(opset: int, tmp_path: Path) -> None:
    found = imported(Block(), (5, 8), tmp_path, opset)
    require_near(found, 5)
    operators = [node.operator.op for node in found.graph.nodes if not node.operator.is_alias]
    assert operators[0] == operators[-1] == "layer_norm"
    assert operators.count("layer_norm") == 2


class Digits(nn.Module):
    """torch's first example: it ends with the logarithm of probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 6, 3, 2), nn.Linear(54, 10)

    def forward(self, x: Any) -> Any:
        return functional.log_softmax(self.dense(self.conv(x).relu().flatten(1)) * 4, dim=1)


@pytest.mark.parametrize("opset", [11, 17])
def test_the_logarithm_of_softmax(opset: int, tmp_path: Path) -> None:
    found = imported(Digits(), (1, 7, 7), tmp_path, opset)
    require_near(found, 7)
    ((exact, integer),) = found.outputs()
    assert (exact.argmax(1) == integer.argmax(1)).mean() > 0.9


class Normed(nn.Module):
    """Normalization by instance and by group."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.instance = nn.Conv2d(1, 8, 3, 2), nn.InstanceNorm2d(8, affine=True)
        self.group = nn.GroupNorm(2, 8)
        for norm in (self.instance, self.group):
            norm.weight.data.uniform_(0.5, 1.5)
            norm.bias.data.normal_()

    def forward(self, x: Any) -> Any:
        return self.group(self.instance(self.conv(x)).relu())


@pytest.mark.parametrize(("opset", "dynamo"), [(13, False), (18, False), (18, True)])
def test_normalization_by_instance_and_group(opset: int, dynamo: bool, tmp_path: Path) -> None:
    found = imported(Normed(), (1, 9, 9), tmp_path, opset, dynamo=dynamo)
    require_near(found, 5)
    assert [node.operator.op for node in found.graph.nodes].count("layer_norm") == 2


class Embedding(nn.Module):
    """A vector of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv2d(1, 6, 3, 2), nn.Linear(54, 8)

    def forward(self, x: Any) -> Any:
        return functional.normalize(self.dense(self.conv(x).relu().flatten(1)))


@pytest.mark.parametrize(("opset", "dynamo"), [(11, False), (18, False), (18, True)])
def test_vectors_of_length_one(opset: int, dynamo: bool, tmp_path: Path) -> None:
    found = imported(Embedding(), (1, 7, 7), tmp_path, opset, dynamo=dynamo)
    assert max(each["largest"] for each in found.distances().values()) <= 1
    ((exact, integer),) = found.outputs()
    assert np.abs(exact - integer).max() < 0.05
    assert np.allclose(np.linalg.norm(integer, axis=1), 1, atol=0.05)


class Tokens(nn.Module):
    """A class token before a sequence, as vision transformers have it, and a ramp behind its features."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 7))
        self.ramp = nn.Parameter(torch.linspace(-1, 1, 6).reshape(1, 6, 1))
        self.one, self.two, self.last = nn.Linear(4, 3), nn.Linear(4, 4), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), torch.cat([self.one(x), self.two(x)], 2)], 1)
        return self.last(torch.cat([x, self.ramp], 2))


@pytest.mark.parametrize("layout", ["", "QDQ", "QOperator"])
def test_constants_beside_activations(layout: str, tmp_path: Path) -> None:
    path = exported(Tokens(), (5, 4), tmp_path, 13, dynamo=False)
    path = quantized_by_onnxruntime(path, layout) if layout else path
    require_near(through(path, tmp_path, tmp_path / "samples.npz"), 6)
