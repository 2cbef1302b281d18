"""The contract of quantizers that are trained: every file of compress/quantizers with Weights and Inputs keeps it."""

import importlib
import itertools
import pkgutil
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from nnrules.catalog.quantizers import method as described
from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress import fake, fitting, quantizers
from nnrules.compress.hoisting import hoist, quantizer_of
from nnrules.compress.parameters import Activation, QuantizationRecord, weight_scales
from nnrules.compress.qdq import quantized_model
from nnrules.graph.lowering import lower
from nnrules.graph.narrow import weight_bits
from nnrules.graph.thresholds import Thresholds
from nnrules.stages.fit import phases
from nnrules.training.onnx_export import export

MODULES = {
    each.name: importlib.import_module(f"{quantizers.__name__}.{each.name}")
    for each in pkgutil.iter_modules(quantizers.__path__)
}
TRAINED: dict[str, Any] = {name: module for name, module in MODULES.items() if hasattr(module, "Inputs")}
WEIGHTS = [(name, bits) for name, module in TRAINED.items() for bits in module.WEIGHT_BITS]
INPUTS = [(name, bits) for name, module in TRAINED.items() for bits in module.ACTIVATION_BITS]
SIGNS = ("", "signed")


def options(method: str, **more: Any) -> QuantizeOptions:
    return QuantizeOptions(method=method, **more)


def made(kind: str, method: str, bits: int, sample: Tensor, **more: Any) -> Any:
    return getattr(TRAINED[method], kind)(sample, bits, options(method, **more))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_all_four_are_found() -> None:
    assert set(TRAINED) >= {"lsq", "pact", "dorefa", "qil"}


@pytest.mark.parametrize("name", MODULES)
def test_what_is_read_of_a_file_is_what_it_does(name: str) -> None:
    """Its widths, its kind, and its options, which there are."""
    found, module = described(name), MODULES[name]
    assert (found.weight_bits, found.activation_bits) == (module.WEIGHT_BITS, module.ACTIVATION_BITS)
    assert set(found.weight_bits) <= {1, 2, 3, 4, 8}
    assert set(found.activation_bits) <= {2, 3, 4, 8}
    assert (found.trains, found.ranges) == (hasattr(module, "Inputs"), hasattr(module, "choose_range"))
    assert set(found.options) <= {each.name for each in msgspec.structs.fields(QuantizeOptions)}


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("method", "bits"), WEIGHTS)
def test_weights_are_codes_times_a_step(method: str, bits: int, per_channel: bool) -> None:
    """No more codes than the bits hold, all alike far apart, and the same bytes from the same weights."""
    weight = random(8, 5, 3, 3) * torch.linspace(0.2, 1.5, 8).reshape(-1, 1, 1, 1)
    quantizer = made("Weights", method, bits, weight, per_channel=per_channel)
    codes = quantizer.codes(weight).detach()
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-6)
    assert codes.abs().max() <= 127
    assert weight_bits(codes.round().to(torch.int8).numpy()) <= bits
    assert quantizer.step(weight).numel() == (8 if per_channel else 1)
    assert torch.equal(quantizer(weight), quantizer.codes(weight) * quantizer.step(weight))
    again = made("Weights", method, bits, weight.clone(), per_channel=per_channel)
    assert torch.equal(quantizer(weight), again(weight.clone()))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("method", ["dorefa", "pact"])
def test_one_bit_is_a_sign_times_the_mean(method: str, per_channel: bool) -> None:
    """sign(w) E|w|, of the layer or of a channel, of what was not pruned; its gradient is that of w (Zhou et al., 2016,
    section 2.3)."""
    weight = torch.tensor([[1.0, -3.0], [0.5, 0.0]], requires_grad=True)
    quantizer = made("Weights", method, 1, weight.detach(), per_channel=per_channel)
    means = torch.tensor([[2.0], [0.5]]) if per_channel else torch.tensor(1.5)
    torch.testing.assert_close(quantizer(weight), torch.tensor([[1.0, -1.0], [1.0, 1.0]]) * means)
    (quantizer(weight) * torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    torch.testing.assert_close(weight.grad, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(
    ("method", "bits", "most"), [("lsq", 4, 0.01), ("lsq", 2, 0.1), ("qil", 2, 0.1), ("dorefa", 1, 0.1)]
)
def test_pruned_weights_do_not_shrink_the_step(method: str, bits: int, most: float, per_channel: bool) -> None:
    """What is left of a tenth of the weights is not clipped; a filter without any gives numbers."""
    weight = random(8, 16, 3, 3)
    weight = weight * (weight.abs() > weight.abs().quantile(0.9))
    weight[3] = 0
    found = made("Weights", method, bits, weight, per_channel=per_channel)(weight).detach() * (weight != 0)
    assert float((found - weight).square().sum() / weight.square().sum()) < most


@pytest.mark.parametrize(("method", "bits"), [each for each in WEIGHTS if each[0] == "lsq"])
def test_quantized_weights_stay(method: str, bits: int) -> None:
    """Idempotence, where the function is one of the weight alone."""
    weight = random(8, 5, 3, 3)
    quantizer = made("Weights", method, bits, weight)
    once = quantizer(weight).detach()
    torch.testing.assert_close(quantizer(once), once, rtol=1e-6, atol=0)


@pytest.mark.parametrize("kind", ["positive", "both signs", "symmetric"])
@pytest.mark.parametrize(("method", "bits"), INPUTS)
def test_inputs_are_levels(method: str, bits: int, kind: str) -> None:
    """No more than the bits hold; what is beyond either end is the end; levels stay, where the line is the identity.

    Inputs below zero have levels by their share of the range, or half of them."""
    x = random(4, 3, 6, 6).abs() * 3
    if kind != "positive":
        x = torch.where(x < 0.5, -x, x)
    quantizer = made("Inputs", method, bits, x, symmetric=kind == "symmetric")
    levels = (quantizer(x) / quantizer.scale()).detach()
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert quantizer.hi - quantizer.lo == 2**bits - 1
    share = max(1, round(-float(x.min()) / float(x.max() - x.min()) * (2**bits - 1)))
    assert quantizer.lo == {"positive": 0, "both signs": -share, "symmetric": -(2 ** (bits - 1))}[kind]
    ends = (quantizer(torch.tensor([-1e6, 1e6])) / quantizer.scale()).detach()
    assert ends.round().tolist() == [quantizer.lo, quantizer.hi]
    if quantizer.line() == (1.0, 0.0):
        torch.testing.assert_close(quantizer(quantizer(x)), quantizer(x))


@pytest.mark.parametrize("kind", ["Weights", "Inputs", "Inputs of both signs"])
@pytest.mark.parametrize("method", TRAINED)
def test_gradients(method: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finite; without the rounding, and LSQ's scaling of gradients, those of finite differences."""
    sample = random(2, 3, 4, 4).abs() if kind == "Inputs" else random(2, 3, 4, 4)
    kind = kind.partition(" ")[0]
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
    wanted = sample.double().flatten()[:12].reshape(2, 6, 1, 1).requires_grad_()

    def function(real: Tensor, *parameters: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(smooth, dict(zip(names, parameters, strict=True)), (real,))
        return result

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
    """d/d alpha = 1 where x >= alpha, else 0; at first alpha is 6."""
    quantizer = made("Inputs", "pact", 4, torch.full((1, 4), 9.0))
    quantizer(torch.tensor([[-1.0, 2.0, 5.9, 6.0, 7.0]])).sum().backward()
    assert quantizer.alpha.grad.item() == 2


@pytest.mark.parametrize(
    ("low", "high", "start"), [(0.0, 0.5, 0.5), (-0.5, 1.0, 1.0), (-3.0, 1.0, 1.0), (0.0, 0.0, 0.0)]
)
def test_a_learned_clip_starts_where_inputs_end(low: float, high: float, start: float) -> None:
    """Where they end below 6, on either side."""
    quantizer = made("Inputs", "pact", 4, torch.tensor([[low, high]]))
    assert quantizer.alpha.item() == pytest.approx(start, rel=0.1, abs=1e-7)
    torch.testing.assert_close(quantizer(torch.tensor([low, high])), torch.tensor([low, high]), rtol=0.1, atol=1e-7)


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


@pytest.mark.parametrize("sign", SIGNS)
def test_what_a_relu_made_zero_stays_zero(sign: str) -> None:
    """Wherever the interval begins, which it does below zero for inputs of both signs alone."""
    quantizer = made("Inputs", "qil", 4, random(4, 8, 8, 8) if sign else random(4, 8, 8, 8).relu())
    with torch.no_grad():
        quantizer.interval.centre.add_(-0.2)
    assert (quantizer(torch.zeros(1)) == 0).item() == (sign == "")
    ends = (quantizer(torch.tensor([-1e6, 1e6])) / quantizer.scale()).detach()
    assert ends.round().tolist() == [quantizer.lo, quantizer.hi]


def test_an_exponent_stays_above_zero() -> None:
    """Below, what lies between the ends would be more than 1."""
    quantizer = made("Weights", "qil", 4, random(8, 5))
    with torch.no_grad():
        quantizer.exponent.fill_(-1.0)
    assert quantizer.codes(random(8, 5)).abs().max() <= 7


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_an_interval_starts_where_rounding_costs_least(bits: int, per_channel: bool) -> None:
    """From 0 on; no other end has less squared error. At two bits hardly half of normal weights become zero, where an
    interval up to the largest would leave a few of them."""
    weight = random(4, 16, 3, 3) * torch.tensor([0.1, 1.0, 2.0, 0.3]).reshape(-1, 1, 1, 1)
    quantizer = made("Weights", "qil", bits, weight, per_channel=per_channel)
    top = 2 ** (bits - 1) - 1
    rows = weight.reshape(4 if per_channel else 1, -1)
    found = (quantizer(weight) - weight).detach().square().reshape(len(rows), -1).mean(1)
    for part in np.linspace(0.05, 1.0, 40):
        step = rows.abs().amax(1, keepdim=True) * part / top
        tried = ((rows / step).round().clamp(-top, top) * step - rows).square().mean(1)
        assert (found <= tried * 1.01).all(), part
    if bits == 2 and per_channel:
        assert 0.4 < (quantizer.codes(weight) == 0).float().mean() < 0.6


@pytest.mark.parametrize("sign", SIGNS)
def test_a_fixed_clip_is_where_rounding_costs_least(sign: str) -> None:
    """Not at the largest input, with which two bits would leave little but zeros."""
    sample = random(4, 8, 16, 16) if sign else random(4, 8, 16, 16).relu()
    quantizer = made("Inputs", "dorefa", 2, sample, symmetric=True)
    assert quantizer.scale() < 0.6 * sample.max() / quantizer.hi
    found = (quantizer(sample) - sample).square().mean()
    for part in np.linspace(0.1, 1.0, 19):
        step = sample.abs().max() * part
        tried = ((sample / step).round().clamp(quantizer.lo, quantizer.hi) * step - sample).square().mean()
        assert found <= tried * 1.01, part


@pytest.mark.parametrize("kind", ["Weights", "Inputs"])
def test_an_interval_goes_along_with_the_bits(kind: str) -> None:
    """To what it would have started with, in as far as it has not learned another."""
    sample = random(4, 16, 3, 3)
    quantizer, wanted = made(kind, "qil", 2, sample), made(kind, "qil", 5, sample)
    with torch.no_grad():
        quantizer.interval.half_width.mul_(1.5)
        wanted.interval.half_width.mul_(1.5)
    quantizer.set_bits(5)
    torch.testing.assert_close(quantizer(sample), wanted(sample))


@pytest.mark.parametrize(
    ("epochs", "each", "least", "expected"),
    [
        (8, 0, 2, [(0, 8)]),
        (8, 1, 2, [(5, 1), (4, 1), (3, 1), (2, 5)]),
        (8, 3, 2, [(3, 3), (2, 5)]),
        (3, 2, 2, [(2, 3)]),
        (8, 2, 8, [(8, 8)]),
    ],
)
def test_widths_go_down_step_by_step(epochs: int, each: int, least: int, expected: list[tuple[int, int]]) -> None:
    chosen = options("qil", epochs=epochs, progressive_epochs=each)
    assert phases(chosen, 5, least) == expected
    assert phases(chosen, 0, least) == [(0, epochs)]


class Layer(nn.Module):
    """Two convolutions with BatchNorm, the second one's input quantized; without Relu it has both signs."""

    def __init__(self, signed: bool) -> None:
        super().__init__()
        self.signed = signed
        self.first = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 1)
        with torch.no_grad():
            self.norm.weight.copy_(torch.tensor([1.0, -0.7, 0.4, 2.0, 1.0, 0.1]))
            self.norm.bias.copy_(torch.linspace(-0.5, 0.7, 6))

    def forward(self, x: Tensor) -> Tensor:
        middle = self.norm(self.first(x))
        result: Tensor = self.second(middle if self.signed else torch.relu(middle))
        return result


class Layers(nn.Module):
    """Side by side, two for each pair of widths: with Relu and without."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        super().__init__()
        self.pairs = nn.ModuleDict(
            {f"w{weights}a{inputs}{sign}": Layer(sign != "") for weights, inputs in pairs for sign in SIGNS}
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(each(x) for each in self.pairs.values())


@pytest.mark.parametrize("method", TRAINED)
def test_the_integer_program_is_the_network_that_was_trained(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every level of the second layers' inputs, from the same integers as input, at every width that there is, of
    either sign: by thresholds, to the last one; of 256 levels as far as a bias that is rounded to a step of the
    accumulator allows."""
    monkeypatch.setattr("nnrules.graph.lowering.FARTHEST", -1)
    torch.manual_seed(3)
    pairs = [(2, 8), *((bits, 4) for bits in TRAINED[method].WEIGHT_BITS)]
    pairs += [(8, bits) for bits in TRAINED[method].ACTIVATION_BITS if bits != 4]
    network = Layers(pairs)
    with torch.no_grad():
        for _ in range(15):
            network(torch.rand(16, 3, 8, 8))
    network.eval()
    integers = torch.randint(-128, 128, (3, 3, 8, 8))
    x = (integers + 128) / 255
    layers = {
        f"pairs.w{w}a{a}{sign}.{name}": (w, a if name == "second" else 8)
        for w, a in pairs
        for name in ("first", "second")
        for sign in SIGNS
    }
    fitting.insert(network, (x,), options(method, layers=layers), "here")
    seen = {}
    for name, layer in network.pairs.items():
        quantizer: Any = layer.second.get_submodule("input_quantizer")  # type: ignore[union-attr]

        def keep(own: Any, given: tuple[Tensor], result: Tensor, name: str = name) -> None:
            slope, offset = own.line()
            real = ((slope * given[0] + offset) / own.scale()).clamp(own.lo, own.hi)
            seen[name] = [(each / 1).numpy().transpose(0, 2, 3, 1) for each in (result / own.scale(), real)]

        quantizer.register_forward_hook(keep)
    with torch.no_grad():
        network.double()(x.double())
    network.float()
    codes, fitted = fitting.finish(network)
    fitting.clip_inputs(network, fitted)
    model = onnx.load_from_string(export(network, Pictures(), "here", change=hoist))
    inputs = {node.name: quantizer_of(model, node.input[0]) for node in model.graph.node}
    stated = {inputs[name]: Activation(each.scale, each.zero_point) for name, each in fitted.items() if each.inputs}
    activations = {"x": Activation(float(np.float32(1 / 255)), -128), **stated}
    activations |= {value.name: Activation(0.05, 0) for value in model.graph.output}
    by_initializer = {f"{name}.weight": each.numpy() for name, each in codes.items()}
    scales = weight_scales(model, activations, "here", stated, by_initializer)
    graph = lower(quantized_model(model, QuantizationRecord(method, activations, scales, tuple(stated))), "here")
    run = graph.run(np.ascontiguousarray(integers.numpy().astype(np.int8).transpose(0, 2, 3, 1)))
    nodes = {node.output: node for node in graph.nodes}
    for (weights, bits), sign in itertools.product(pairs, SIGNS):
        name = f"w{weights}a{bits}{sign}"
        value = inputs[f"pairs.{name}.second"]
        operator: Any = nodes[value].operator
        assert operator.weight_bits <= weights
        found = run[value].astype(int) - fitted[f"pairs.{name}.second"].zero_point
        levels, real = seen[name]
        if bits < 8:
            assert isinstance(operator.requantization, Thresholds)
            np.testing.assert_array_equal(found, levels.round(), name)
        else:
            factor = operator.requantization.multiplier / 2.0**32 * 2.0**operator.requantization.shift
            assert (np.abs(found - real) <= 0.5 + factor / 2 + 1e-3).all(), name


class Pictures:
    """Four of three channels."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng(index).random((3, 8, 8), np.float32), 0
