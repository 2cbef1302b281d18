"""Networks that are built in other ways than layer after layer, from their weights to the integers."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from nnrules.catalog.stages import ExportOptions, QuantizeOptions
from nnrules.compress import fitting
from nnrules.compress.parameters import QuantizationRecord
from nnrules.compress.widths import Widths
from nnrules.error import UserError
from nnrules.graph.formats import quantized_inputs, real_outputs
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.stages import export, fit, quantize
from nnrules.stages.runner import Request
from nnrules.training.task import stacked
from nnrules.training.weights import save_weights
from tests.graph.floats import FloatModel

COUNT = 40


class Network(nn.Module):
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(output, target)


class Rows(Network):
    """Fully connected layers over several rows, which torch exports as products with transposed weights."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.last = nn.Linear(48, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x[:, 0]))))
        result: Tensor = self.last(torch.relu(self.c(x)).flatten(1))
        return result


class Twice(Network):
    """A convolution and a fully connected layer that run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.rows, self.last = nn.Linear(8, 8), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(torch.relu(self.stem(x))))
        x = torch.relu(self.rows(torch.relu(self.rows(torch.relu(self.a(x))))))
        result: Tensor = self.last(x.mean((2, 3)))
        return result


class Dead(Network):
    """Channels that BatchNorm leaves nothing of, of no or hardly any weights, with a bias; a layer without weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.a, self.b, self.last = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)
        with torch.no_grad():
            self.norm.weight.copy_(torch.tensor([1.0, 0.0, -0.5, 0.7, 0.0, 1.0]))
            self.norm.bias.copy_(torch.linspace(-0.1, 0.5, 6))
            self.a.weight[:3] *= torch.tensor([0.0, 1e-12, 1e-9]).reshape(3, 1, 1, 1)
            self.a.bias[:3] = torch.tensor([0.37, 3.0, 0.21])
            self.b.weight.zero_()
            self.b.bias.copy_(torch.linspace(0.03, 0.31, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(torch.relu(self.norm(self.stem(x)))))
        result: Tensor = self.last((x + torch.relu(self.b(x))).mean((2, 3)))
        return result


class Line(Network):
    """One axis; its layers are defined in another order than they run in, and one of them does not."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.a, self.never = nn.Linear(6, 4), nn.Conv1d(6, 6, 3, padding=1), nn.Linear(3, 3)
        self.stem = nn.Conv1d(8, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.last(torch.relu(self.a(torch.relu(self.stem(x[:, 0])))).mean(2))
        return result


class Pictures:
    """Of 8x8 pixels, some far brighter than others."""

    input_quantization = (1 / 255, -128)

    def __init__(self, split: str) -> None:
        generator = np.random.default_rng(len(split))
        pictures = generator.integers(0, 256, (COUNT, 1, 8, 8)) * generator.uniform(0.1, 1, (COUNT, 1, 1, 1))
        self.pictures = (np.rint(pictures) / 255).astype(np.float32)

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return self.pictures[index], index % 4


def built(
    kind: type[Network], options: QuantizeOptions, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, Graph, QuantizationRecord]:
    """What the network gives when its training is over (of one that is not trained: what it gives), the integer graph,
    and the record of quantization."""
    monkeypatch.chdir(folder)
    torch.manual_seed(1)
    network, inputs = kind(), torch.from_numpy(stacked(Pictures("test"), range(COUNT))[0])
    given = {"network": [f"{__file__}:{kind.__name__}"], "dataset": [f"{__file__}:Pictures"], "weights": ["float"]}
    save_weights(network, Path("float"))
    found = []
    finish = fitting.finish

    def kept(trained: nn.Module) -> Any:
        found.append(trained.eval()(inputs).detach())
        return finish(trained)

    monkeypatch.setattr(fitting, "finish", kept)
    if options.epochs > 1:
        results = {name: name for name in ("weights", "codes", "quantizers", "log")}
        fit.run(Request("fit", "odd", "", options, given, results))
        given |= {name: [name] for name in ("weights", "codes", "quantizers")}
    else:
        found.append(network.eval()(inputs).detach())
    export.run(Request("export", "odd", "", ExportOptions(), given, {"model": "model"}))
    of_model = {name: texts for name, texts in given.items() if name not in ("network", "weights")}
    results = {"model": "qdq", "qparams": "qparams"}
    quantize.run(Request("quantize", "odd", "", options, {**of_model, "model": ["model"]}, results))
    record = msgspec.json.decode(Path("qparams").read_bytes(), type=QuantizationRecord)
    return found[0], lower(onnx.load("qdq"), "odd"), record


def difference(exact: Tensor, graph: Graph) -> float:
    """Mean distance of the integer graph's outputs from a network's, in standard deviations of these."""
    (values,) = quantized_inputs(graph, stacked(Pictures("test"), range(COUNT))).values()
    (output,) = graph.outputs
    found = real_outputs(graph, {output: np.asarray(graph.run(values)[output])})[output]
    return float(np.abs(found.reshape(exact.shape) - exact.numpy()).mean() / exact.numpy().std())


@pytest.mark.parametrize(
    ("kind", "method"), [(Rows, "ptq"), (Rows, "lsq"), (Twice, "lsq"), (Dead, "ptq"), (Dead, "lsq")]
)
def test_integers_are_those_of_the_network(
    kind: type[Network], method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the rounding."""
    options = QuantizeOptions(method=method, weight_bits=4, samples=COUNT, epochs=1 + (method == "lsq"))
    exact, graph, record = built(kind, options, tmp_path, monkeypatch)
    assert difference(exact, graph) < (0.1 if method == "lsq" else 0.3)
    if method == "lsq":
        inputs = {Rows: 4, Twice: 5, Dead: 3}[kind]  # of layers, but for the own input
        assert sum(name in record.activations for name in record.stated) == inputs


def test_the_first_layer_is_the_one_that_runs_first() -> None:
    """Of any kind that has weights, and of those that run."""
    options = QuantizeOptions(method="lsq", weight_bits=4, activation_bits=4)
    found = fitting.insert(Line(), (torch.rand(4, 1, 8, 8),), options, "here")
    assert found == {"stem": Widths(8, 8), "a": Widths(4, 4), "last": Widths(8, 8)}


@pytest.mark.parametrize("option", [{"skip": ("aux",)}, {"layers": {"aux": (4, 4)}}])
def test_a_layer_that_never_runs_is_named_in_vain(option: dict[str, Any]) -> None:
    network = Line()
    network.aux = nn.Linear(2, 2)
    with pytest.raises(UserError) as caught:
        fitting.insert(network, (torch.rand(4, 1, 8, 8),), QuantizeOptions(method="lsq", **option), "here")
    (name,) = option
    cure = "leave it out. The layers that run are stem, a, last"
    assert str(caught.value) == f"here: {name} names 'aux', which the network never runs; {cure}"


def test_what_is_changed_in_place_is_another_input() -> None:
    """A quantizer starts from what its layer sees, and two layers share one only where both see that."""

    class Changed(Network):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = self.a(x)
            result: Tensor = y + self.b(functional.relu(x, inplace=True))
            return result

    network = Changed()
    fitting.insert(
        network, (torch.rand(4, 1, 8, 8) - 0.5,), QuantizeOptions(method="lsq", layers={"b": (8, 8)}), "here"
    )
    first, second = (layer.get_submodule("input_quantizer") for layer in (network.a, network.b))
    assert first is not second
    assert (first.lo < 0, second.lo) == (True, 0)


def test_a_model_of_a_fixed_batch_is_run_picture_by_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its weights are made to have few bits."""
    monkeypatch.chdir(tmp_path)
    m = FloatModel((1, 8, 8))
    layers = m.conv(m.conv(m.conv("x", "a", (4, 1, 1, 1)), "b", (4, 4, 1, 1)), "c", (4, 4, 1, 1))
    model = m.build(layers)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, "model")
    options = QuantizeOptions(method="ptq", weight_bits=4, activation_bits=4, samples=3)
    given = {"dataset": [f"{__file__}:Pictures"], "model": ["model"]}
    quantize.run(Request("quantize", "odd", "", options, given, {"model": "qdq", "qparams": "qparams"}))
    assert lower(onnx.load("qdq"), "odd").outputs == ("c",)
