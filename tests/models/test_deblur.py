"""A small image-to-image network from training to the C on a core: it sharpens, and as integers nearly as well."""

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.qdq import quantized_model
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.stages import quantize
from nnrules.stages.evaluate import float_runner, integer_runner
from nnrules.training.metric import measure
from nnrules.training.onnx_export import export
from tests.codegen.test_random_graphs import check

SIZE = 16
STEPS = 250


class Deblur(nn.Module):
    """The image and a correction, made at half the size and brought back in two ways."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.slopes = nn.PReLU(12)
        self.up = nn.ConvTranspose2d(12, 8, 4, stride=2, padding=1)
        self.coarse = nn.Conv2d(12, 8, 1)
        self.resize = nn.Upsample(scale_factor=2, mode="bilinear")
        self.head = nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 1, SIZE, SIZE) -> the same."""
        fine = torch.relu(self.stem(x))
        small = self.slopes(self.down(fine))
        both = self.up(small) + self.resize(self.coarse(small))
        return x - self.head(torch.nn.functional.hardswish(both) * torch.sigmoid(fine))


class Blurred:
    """Discs and bars, and the same through a 3 x 3 box twice; the metric is the peak signal to noise ratio in dB."""

    metric_name = "PSNR"

    def __init__(self, split: str) -> None:
        self.first = 0 if split == "train" else 10_000

    def __len__(self) -> int:
        return 48

    def sharp(self, index: int) -> np.ndarray:
        """(SIZE, SIZE), two things on a plain ground."""
        chance = np.random.default_rng(self.first + index)
        rows, columns = np.mgrid[:SIZE, :SIZE]
        image = np.full((SIZE, SIZE), chance.uniform(0, 0.3))
        row, column, radius = chance.uniform(3, SIZE - 3, 3)
        image[(rows - row) ** 2 + (columns - column) ** 2 < (radius / 3 + 1) ** 2] = chance.uniform(0.6, 1)
        image[:, int(chance.integers(SIZE - 2)) :][:, :2] = chance.uniform(0.4, 0.9)
        return image

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        sharp = self.sharp(index)
        blurred = np.pad(sharp, 2, mode="edge")
        for _ in range(2):
            blurred = sum(
                blurred[i : i + len(blurred) - 2, j : j + len(blurred) - 2] for i in range(3) for j in range(3)
            )
            blurred = blurred / 9
        return blurred[np.newaxis].astype(np.float32), sharp[np.newaxis].astype(np.float32)

    def metric(self, outputs: list[np.ndarray]) -> float:
        """Over all items."""
        wanted = np.stack([self[i][1] for i in range(len(outputs[0]))])
        return float(-10 * np.log10(np.square(outputs[0] - wanted).mean()))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Trained for some seconds."""
    torch.set_num_threads(1)
    made, data = Deblur(), Blurred("train")
    x, y = (torch.stack([torch.from_numpy(data[i][part]) for i in range(len(data))]) for part in (0, 1))
    optimizer = torch.optim.Adam(made.parameters(), 0.01)
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.mse_loss(made(x), y).backward()
        optimizer.step()
    return made.eval()


@pytest.fixture(scope="module")
def model(network: nn.Module) -> onnx.ModelProto:
    """The float model."""
    return onnx.load_from_string(export(network, Blurred("test"), "test_deblur.py"))


@pytest.fixture(scope="module")
def graph(model: onnx.ModelProto) -> Graph:
    """The integer graph."""
    record = quantize.calibrated(model, Blurred("train"), QuantizeOptions(method="minmax", samples=48), "deblur")
    return lower(quantized_model(model, record), "deblur")


def test_it_is_made_of_operators_with_kernels(graph: Graph) -> None:
    assert {node.operator.op for node in graph.nodes} == {
        "conv2d", "conv_transpose2d", "prelu", "resize_linear", "lookup", "mul", "add",
    }  # fmt: skip


def test_the_integers_sharpen_nearly_as_well(model: onnx.ModelProto, graph: Graph) -> None:
    test = Blurred("test")
    with tempfile.TemporaryDirectory() as name:
        exact, integer = Path(name) / "float.onnx", Path(name) / "integer.onnx"
        onnx.save(model, exact)
        onnx.save(integer_model(graph), integer)
        before = measure(test, lambda batch: [batch[0]])
        after, quantized = measure(test, float_runner(exact)), measure(test, integer_runner(integer, graph))
    assert before is not None
    assert after is not None
    assert quantized is not None
    assert after["value"] > before["value"] + 3
    assert quantized["value"] > after["value"] - 1


def test_every_engine_gives_the_same_image(graph: Graph) -> None:
    check(graph, "cortex-m7")
