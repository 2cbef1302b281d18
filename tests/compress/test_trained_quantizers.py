"""The contract of quantizers that are trained: every file of compress/quantizers with Weights and Inputs keeps it."""

import importlib
import pkgutil
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress import fake, fitting, quantizers
from nnrules.compress.parameters import Activation, QuantizationRecord, weight_scales
from nnrules.compress.qdq import quantized_model
from nnrules.graph.lowering import lower
from nnrules.graph.narrow import weight_bits
from nnrules.graph.thresholds import Thresholds
from nnrules.training.onnx_export import export

MODULES = {
    each.name: importlib.import_module(f"{quantizers.__name__}.{each.name}")
    for each in pkgutil.iter_modules(quantizers.__path__)
}
TRAINED: dict[str, Any] = {name: module for name, module in MODULES.items() if hasattr(module, "Inputs")}
WEIGHTS = [(name, bits) for name, module in TRAINED.items() for bits in module.WEIGHT_BITS]
INPUTS = [(name, bits) for name, module in TRAINED.items() for bits in module.ACTIVATION_BITS]


def options(method: str, **more: Any) -> QuantizeOptions:
    return QuantizeOptions(method=method, **more)


def made(kind: str, method: str, bits: int, sample: Tensor) -> Any:
    return getattr(TRAINED[method], kind)(sample, bits, options(method))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_all_four_are_found() -> None:
    assert set(TRAINED) >= {"lsq", "pact", "dorefa", "qil"}


@pytest.mark.parametrize(("method", "bits"), WEIGHTS)
def test_weights_are_codes_times_a_step(method: str, bits: int) -> None:
    """No more codes than the bits hold, all alike far apart, and the same bytes from the same weights."""
    weight = random(8, 5, 3, 3)
    quantizer = made("Weights", method, bits, weight)
    codes = quantizer.codes(weight).detach()
    assert torch.equal(codes, codes.round())
    assert weight_bits(codes.to(torch.int8).numpy()) <= bits
    assert torch.equal(quantizer(weight), codes * quantizer.step(weight))
    assert torch.equal(quantizer(weight), made("Weights", method, bits, weight.clone())(weight.clone()))


@pytest.mark.parametrize(("method", "bits"), [each for each in WEIGHTS if each[0] == "lsq"])
def test_quantized_weights_stay(method: str, bits: int) -> None:
    """Idempotence, where the function is one of the weight alone."""
    weight = random(8, 5, 3, 3)
    quantizer = made("Weights", method, bits, weight)
    once = quantizer(weight).detach()
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("method", "bits"), INPUTS)
def test_inputs_are_levels(method: str, bits: int) -> None:
    """No more than the bits hold; what is beyond either end is the end; levels stay, where the line is the identity."""
    x = random(4, 3, 6, 6).abs() * 3
    quantizer = made("Inputs", method, bits, x)
    levels = (quantizer(x) / quantizer.scale()).detach()
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert quantizer.hi - quantizer.lo == 2**bits - 1
    ends = (quantizer(torch.tensor([-1e6, 1e6])) / quantizer.scale()).detach()
    assert ends.round().tolist() == [quantizer.lo, quantizer.hi]
    if quantizer.line() == (1.0, 0.0):
        torch.testing.assert_close(quantizer(quantizer(x)), quantizer(x))


@pytest.mark.parametrize("kind", ["Weights", "Inputs"])
@pytest.mark.parametrize("method", TRAINED)
def test_gradients(method: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite; without the rounding, and LSQ's scaling of gradients, those of finite differences."""
    sample = random(2, 3, 4, 4).abs() if kind == "Inputs" else random(2, 3, 4, 4)
    quantizer = made(kind, method, 4, sample)
    x = sample.clone().requires_grad_()
    quantizer(x).square().sum().backward()
    given = [x.grad, *(each.grad for each in quantizer.parameters())]
    assert all(each is not None and each.isfinite().all() for each in given)

    for module in (fake, TRAINED[method], TRAINED["dorefa"]):
        monkeypatch.setattr(module, "rounded", lambda value: value, raising=False)
        monkeypatch.setattr(module, "gradient_scaled", lambda value, factor: value, raising=False)
    smooth = made(kind, method, 4, sample).double()
    with torch.no_grad():  # away from where the ends of the range make a corner
        for index, each in enumerate(smooth.parameters()):
            each.mul_(0.83 - 0.05 * index)
    names = [name for name, _ in smooth.named_parameters()]
    values = tuple(each.detach().clone().requires_grad_() for each in smooth.parameters())
    wanted = sample.double().flatten()[:12].reshape(2, 6).requires_grad_()

    def function(real: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(smooth, dict(zip(names, parameters, strict=True)), (real,))
        return result

    if kind == "Weights" and method in ("dorefa", "pact"):
        pytest.skip("divides by the largest weight, which has no gradient in the paper's public form")
    assert torch.autograd.gradcheck(function, (wanted, *values), eps=1e-7, atol=1e-4)


def test_a_learned_step_has_the_gradient_of_the_paper() -> None:
    """round(x/s) - x/s inside, -Q_N or Q_P outside, times 1 / sqrt(N Q_P)."""
    quantizer = made("Weights", "lsq", 3, torch.ones(1, 4))
    with torch.no_grad():
        quantizer.steps.fill_(0.5)
    weight = torch.tensor([[0.2, 0.9, 5.0, -5.0]])
    quantizer(weight).sum().backward()
    inside = [round(0.4) - 0.4, round(1.8) - 1.8]
    assert quantizer.steps.grad.item() == pytest.approx((sum(inside) + 3 - 4) / np.sqrt(4 * 3))


def test_a_learned_clip_has_the_gradient_of_the_paper() -> None:
    """d/d alpha = 1 where x >= alpha, else 0."""
    quantizer = made("Inputs", "pact", 4, torch.ones(1, 4))
    quantizer(torch.tensor([[-1.0, 2.0, 5.9, 6.0, 7.0]])).sum().backward()
    assert quantizer.alpha.grad.item() == 2


def test_a_learned_interval_prunes_and_clips() -> None:
    """0 below c - d, 1 above c + d, between them u^g."""
    quantizer = made("Weights", "qil", 4, torch.tensor([[1.0]]))
    with torch.no_grad():
        quantizer.interval.centre.fill_(0.5)
        quantizer.interval.half_width.fill_(0.3)
        quantizer.exponent.fill_(2.0)
    weight = torch.tensor([[0.1, 0.19, -0.85, 0.5, -0.65]])
    u = (0.65 - 0.2) / 0.6
    expected = [0, 0, -7, round(7 * 0.25), -round(7 * u**2)]
    assert quantizer.codes(weight).tolist() == [expected]


class Layer(nn.Module):
    """Two convolutions with BatchNorm, the second one's input quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.second(torch.relu(self.norm(self.first(x))))
        return result


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("method", TRAINED)
def test_the_integer_program_is_the_network_that_was_trained(
    method: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every level of the second layer's input, from the same integers as input: by thresholds, to the last one."""
    monkeypatch.setattr("nnrules.graph.lowering.FARTHEST", -1)
    torch.manual_seed(3)
    network = Layer()
    with torch.no_grad():
        network.norm.weight.copy_(torch.tensor([1.0, -0.7, 0.4, 2.0, 1.0, 0.1]))
        network.norm.bias.copy_(torch.linspace(-0.5, 0.7, 6))
        for _ in range(60):
            network(torch.rand(16, 3, 8, 8))
    network.eval()
    integers = torch.randint(-128, 128, (3, 3, 8, 8))
    x = (integers + 128) / 255
    chosen = options(method, weight_bits=bits, activation_bits=bits, first_bits=bits, last_bits=bits)
    fitting.insert(network, (x,), chosen, "here")
    seen: list[Tensor] = []
    quantizer = network.second.get_submodule("input_quantizer")
    quantizer.register_forward_hook(lambda _, __, result: seen.append(result / quantizer.scale()))
    with torch.no_grad():
        network.double()(x.double())
    network.float()
    codes, fitted = fitting.finish(network)
    fitting.clip_inputs(network, fitted)
    model = onnx.load_from_string(export(network, Pictures(), "here"))
    stated = {next(n for n in model.graph.node if n.name == "second").input[0]: Activation(fitted["second"].scale, 0)}
    activations = {"x": Activation(float(np.float32(1 / 255)), -128), "y": Activation(0.05, 0), **stated}
    by_initializer = {f"{name}.weight": each.numpy() for name, each in codes.items()}
    scales = weight_scales(model, activations, "here", stated, by_initializer)
    graph = lower(quantized_model(model, QuantizationRecord(method, activations, scales, tuple(stated))), "here")
    node = graph.nodes[0]
    assert isinstance(node.operator.requantization, Thresholds)  # type: ignore[attr-defined]
    levels = graph.run(np.ascontiguousarray(integers.numpy().astype(np.int8).transpose(0, 2, 3, 1)))[node.output]
    np.testing.assert_array_equal(levels, seen[0].round().numpy().transpose(0, 2, 3, 1))


class Pictures:
    """Four of three channels."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng(index).random((3, 8, 8), np.float32), 0
