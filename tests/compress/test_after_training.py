"""What makes a float model ready for few bits without training: each part does what its paper says."""

import importlib
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nnrules.catalog.quantizers import method, methods
from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress import rounding
from nnrules.compress.after_training import (
    best_scales,
    correct_biases,
    equalize,
    linear_layers,
    narrow_inputs,
    narrow_weights,
    prepare,
)
from nnrules.compress.arrays import store, weights
from nnrules.compress.calibration import Histogram
from nnrules.compress.prepared import Prepared
from nnrules.compress.quantizers import entropy, minmax, mse, percentile, ptq
from nnrules.compress.widths import Widths, widths
from nnrules.error import UserError
from tests.graph.floats import FloatModel

SHAPE = (3, 8, 8)


def model() -> onnx.ModelProto:
    """A convolution, a depthwise one and a pointwise one, Relu between them; channels of very different ranges."""
    m = FloatModel(SHAPE)
    a = m.node("Relu", [m.conv("x", "a", (6, 3, 3, 3), pads=[1, 1, 1, 1])], "a/relu")
    b = m.node("Relu", [m.conv(a, "b", (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1])], "b/relu")
    built = m.build(m.conv(b, "c", (4, 6, 1, 1)))
    factors = np.array([0.01, 0.1, 1.0, 3.0, 10.0, 0.3])
    first = linear_layers(built)[0].input[1]
    store(built, first, weights(built, first) * factors.reshape(-1, 1, 1, 1))
    return built


def batches() -> list[list[np.ndarray]]:
    return [[np.random.default_rng(seed).random((16, *SHAPE), np.float32)] for seed in range(3)]


def run(built: onnx.ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(built.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {session.get_inputs()[0].name: batch[0]})[0] for batch in batches()])


def test_channels_are_evened_out_and_the_function_stays() -> None:
    built = model()
    before = run(built)
    equalize(built)
    np.testing.assert_allclose(run(built), before, rtol=1e-3, atol=1e-5)
    one, two, three = (weights(built, node.input[1]) for node in linear_layers(built))
    np.testing.assert_allclose(np.abs(one).max((1, 2, 3)), np.abs(two).max((1, 2, 3)), rtol=1e-2)
    np.testing.assert_allclose(np.abs(two).max((1, 2, 3)), np.abs(three).max((0, 2, 3)), rtol=1e-2)


def test_what_is_read_elsewhere_too_is_not_evened_out() -> None:
    m = FloatModel(SHAPE)
    a = m.conv("x", "a", (6, 3, 1, 1))
    built = m.build(m.node("Add", [a, m.conv(a, "b", (6, 6, 1, 1))], "sum"))
    before = [weights(built, node.input[1]) for node in linear_layers(built)]
    equalize(built)
    for node, each in zip(linear_layers(built), before, strict=True):
        assert np.array_equal(weights(built, node.input[1]), each)


@pytest.mark.parametrize("top", [1, 3, 7])
def test_the_scale_with_the_least_error(top: int) -> None:
    """At least as good as the largest weight at the end of the range."""
    channels = np.random.default_rng(1).standard_t(3, (5, 40))

    def error(scales: np.ndarray) -> np.ndarray:
        step = scales[:, np.newaxis]
        return np.asarray(((np.clip(np.rint(channels / step), -top, top) * step - channels) ** 2).sum(1))

    plain = error(np.abs(channels).max(1) / top)
    assert (error(best_scales(channels, top)) <= plain).all()
    assert (error(best_scales(channels, top)) < 0.9 * plain).any()


def narrowed(bits: int = 2) -> tuple[Prepared, onnx.ModelProto]:
    """All layers' weights of few bits; the float model."""
    found, exact = Prepared(model()), model()
    for node in linear_layers(found.model):
        narrow_weights(found, node, bits)
    return found, exact


def test_biases_take_up_what_rounding_adds_on_average() -> None:
    """Of the first layer, but for its border, all of it: a sign turned round, or the mean of another channel, is seen
    there."""
    found, exact = narrowed()
    shifted = np.abs((run(found.model) - run(exact)).mean((0, 2, 3)))
    correct_biases(found, exact, batches)
    assert np.abs((run(found.model) - run(exact)).mean((0, 2, 3))).sum() < 0.5 * shifted.sum()
    first = linear_layers(exact)[0]
    error = weights(found.model, first.input[1]) - weights(exact, first.input[1])
    mean = np.concatenate([batch[0] for batch in batches()]).mean((0, 2, 3))
    moved = weights(found.model, first.input[2]) - weights(exact, first.input[2])
    np.testing.assert_allclose(moved, -np.einsum("oihw,i->o", error, mean), rtol=1e-4, atol=1e-6)


def test_one_scale_for_all_channels() -> None:
    found = Prepared(model())
    node = linear_layers(found.model)[0]
    narrow_weights(found, node, 4, per_channel=False)
    (scale,) = np.unique(
        np.abs(weights(found.model, node.input[1])[found.codes[node.input[1]] == 1]).astype(np.float32)
    )
    np.testing.assert_allclose(weights(found.model, node.input[1]), found.codes[node.input[1]] * scale, rtol=1e-6)


def test_rounding_up_or_down_keeps_outputs_better_than_to_the_nearest() -> None:
    """Of a single layer, whose input has a mean far from zero."""
    m = FloatModel(SHAPE)
    found = Prepared(m.build(m.conv("x", "a", (4, 3, 3, 3))))
    exact = onnx.ModelProto()
    exact.CopyFrom(found.model)
    (node,) = linear_layers(found.model)
    narrow_weights(found, node, 3)
    nearest, codes = ((run(found.model) - run(exact)) ** 2).mean(), found.codes[node.input[1]].astype(int)
    rounding.adapt(found, exact, QuantizeOptions(), batches)
    assert ((run(found.model) - run(exact)) ** 2).mean() < 0.5 * nearest
    adapted = found.codes[node.input[1]].astype(int)
    assert np.abs(adapted).max() <= 3
    assert np.abs(adapted - codes).max() == 1


def test_rounding_up_or_down_is_decided_in_a_large_layer() -> None:
    """The penalty is a sum over its weights; a mean would not count beside the outputs' error."""
    torch.manual_seed(0)
    top, weight = 7, torch.randn(8, 16, 3, 3)
    x = torch.relu(torch.nn.functional.conv2d(torch.randn(128, 4, 6, 6), torch.randn(16, 4, 1, 1)))
    step = weight.abs().amax((1, 2, 3), keepdim=True) / top

    def error(codes: np.ndarray) -> float:
        return float((layer(x, torch.from_numpy(codes).float() * step) - target).pow(2).mean())

    layer = torch.nn.functional.conv2d
    target = layer(x, weight)
    adapted = rounding._adapted(layer, weight.numpy(), 8, step.numpy(), x, target, top)
    assert error(adapted) < 0.5 * error((weight / step).round().clamp(-top, top).numpy())


def test_weights_that_were_pruned_count_for_nothing() -> None:
    """Neither while the others' rounding is found, nor after: they find the rounding that they would without them."""
    x, top = torch.rand(64, 6, generator=torch.Generator().manual_seed(1)) + 1, 3
    real, step = np.array([[0.31, -0.42, 0.93, 0.0, 0.0, 0.0]]), np.array([[0.3]])

    def adapted(columns: int) -> np.ndarray:
        given, weight = x[:, :columns], torch.from_numpy(real[:, :columns]).float()
        torch.manual_seed(0)
        layer = lambda inputs, weights: inputs @ weights.T  # noqa: E731
        return rounding._adapted(layer, real[:, :columns], 1, step, given, layer(given, weight) + 0.4, top)

    assert adapted(6)[:, :3].tolist() == adapted(3).tolist()
    assert not adapted(6)[:, 3:].any()


def test_rounding_makes_up_for_the_layers_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a layer is to give is what it gives in the exact model, behind its Relu, from what it saw there; what it
    sees is what the rounded layers before it give."""
    m = FloatModel(SHAPE)
    a = m.node("Relu", [m.conv("x", "a", (4, 3, 1, 1))], "a/relu")
    found = Prepared(m.build(m.node("Relu", [m.conv(a, "b", (2, 4, 1, 1))], "b/relu")))
    exact = onnx.ModelProto()
    exact.CopyFrom(found.model)
    for node in linear_layers(found.model):
        narrow_weights(found, node, 2)
    seen = []

    def keep(
        layer: object, real: np.ndarray, channels: int, step: np.ndarray, x: object, target: object, top: int
    ) -> np.ndarray:
        assert channels == len(real)
        seen.append((np.asarray(x), np.asarray(target), top))
        return np.floor(real / step).clip(-top, top)

    monkeypatch.setattr(rounding, "_adapted", keep)
    rounding.adapt(found, exact, QuantizeOptions(), batches)
    (_, _, top), (x, target, _) = seen
    assert top == 1
    np.testing.assert_allclose(target, run(exact), atol=1e-5)
    middle, built = onnx.ModelProto(), found.model
    middle.CopyFrom(built)
    del middle.graph.output[:]
    middle.graph.output.append(onnx.ValueInfoProto(name="a/relu"))
    np.testing.assert_allclose(x, run(middle), atol=1e-5)


def test_what_is_undecided_is_penalized() -> None:
    """1 - |2 h - 1|^beta: nothing at 0 and 1, most in the middle."""
    h = torch.tensor([0.0, 0.25, 0.5, 1.0])
    torch.testing.assert_close(rounding.undecided(h, 2.0), torch.tensor([0.0, 0.75, 1.0, 0.0]))


def test_inputs_of_few_bits_are_stated_and_clipped() -> None:
    """One Clip for each tensor and width; levels from 0 to 15, zero among them."""
    found = Prepared(model())
    bits = {node.name: 4 if number else 8 for number, node in enumerate(linear_layers(found.model))}
    narrow_inputs(found, bits, QuantizeOptions(), batches, minmax.choose_range, "here")
    onnx.checker.check_model(found.model, full_check=True)
    clips = [node for node in found.model.graph.node if node.op_type == "Clip"]
    assert [node.output[0] for node in clips] == list(found.stated) == ["a/relu/4bits", "b/relu/4bits"]
    for node in clips:
        stated = found.stated[node.output[0]]
        low, high = (weights(found.model, name).item() for name in node.input[1:])
        assert (round(low / stated.scale) + stated.zero_point, round(high / stated.scale) + stated.zero_point) == (
            0,
            15,
        )


def test_a_layer_to_skip_that_is_none() -> None:
    text = "here: skip names 'd', which is no layer; choose from a, b, c"
    with pytest.raises(UserError) as caught:
        widths(["a", "b", "c"], QuantizeOptions(skip=("d",)), "here")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"skip": ("conv3",)},
            "here: skip names 'conv3', which is no layer; did you mean 'conv2'? The layers are conv1, conv2, fc",
        ),
        ({"layers": {"last": (4, 4)}}, "here: layers names 'last', which is no layer; choose from conv1, conv2, fc"),
        (
            {"layers": {"fc": (4, 4)}, "skip": ("fc",)},
            "here: layer 'fc': is in both skip and layers; leave it out of one of them",
        ),
        ({"layers": {"fc": (1, 4)}}, "here: layer 'fc': ptq has no 1-bit weights; choose 2, 3, 4, 8"),
        ({"layers": {"fc": (4, 5)}}, "here: layer 'fc': ptq has no 5-bit inputs; choose 2, 3, 4, 8"),
    ],
)
def test_widths_that_there_are_not(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError) as caught:
        widths(["conv1", "conv2", "fc"], QuantizeOptions(method="ptq", **options), "here")
    assert str(caught.value) == text


def test_widths_by_layer() -> None:
    """The first and the last one, a single one, and one that is skipped."""
    options = QuantizeOptions(
        weight_bits=2, activation_bits=3, last_bits=4, layers={"b": (4, 2)}, skip=("c",), method="lsq"
    )
    found = widths(["a", "b", "c", "d", "e"], options, "here")
    assert found == {
        "a": Widths(8, 8), "b": Widths(4, 2), "c": Widths(8, 8, skipped=True), "d": Widths(2, 3), "e": Widths(4, 4),
    }  # fmt: skip


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    built = model()
    before = built.SerializeToString()
    found = prepare(built, QuantizeOptions(), batches, mse.choose_range, "here")
    assert (found.stated, found.codes) == ({}, {})
    assert built.SerializeToString() == before


@pytest.mark.parametrize("name", [each for each in methods() if method(each).ranges])
@pytest.mark.parametrize("levels", [4, 16, 256])
def test_ranges_hold_what_they_should(name: str, levels: int) -> None:
    """Of values with a long tail: within what was seen; the fewer levels, the less of the tail."""
    module = importlib.import_module(f"nnrules.compress.quantizers.{name}")
    values = np.abs(np.random.default_rng(1).standard_t(3, 20_000))
    histogram = Histogram(float(values.min()), float(values.max()))
    histogram.add(values)
    low, high = module.choose_range(histogram, QuantizeOptions(), levels)
    assert -0.1 * values.max() <= low <= np.median(values)
    assert np.median(values) < high <= values.max() * 1.001
    if module is mse and levels < 256:
        assert high < 0.5 * values.max()


def test_entropy_takes_what_is_cut_off_for_the_last_level() -> None:
    """Kullback-Leibler divergence with what lies outside gathered at the ends of the one distribution, but not of the
    other: a lone value far outside is cut off, values that fill the range are not."""
    bulk = np.random.default_rng(1).uniform(-1, 1, 50_000)
    for values, kept in ((bulk, 1.0), (np.append(bulk, 30.0), 2.5)):
        histogram = Histogram(float(values.min()), float(values.max()))
        histogram.add(values)
        high = entropy.choose_range(histogram, QuantizeOptions(), 256)[1]
        assert high <= kept * 1.05
        assert high >= 0.95


def test_entropy_has_a_bin_for_each_level() -> None:
    """A range of fewer bins than levels would look as if nothing was lost in it."""
    values = np.append(np.random.default_rng(1).uniform(0, 0.02, 5_000_000), 1.0)
    histogram = Histogram(0.0, 1.0)
    histogram.add(values)
    assert entropy.choose_range(histogram, QuantizeOptions(), 256)[1] >= 256 / 4096


def test_the_percentile_counts_each_tail_alone() -> None:
    values = np.linspace(-1, 3, 40_001)
    histogram = Histogram(-1, 3)
    histogram.add(values)
    low, high = percentile.choose_range(histogram, QuantizeOptions(percentile=90.0))
    np.testing.assert_allclose((low, high), (-0.6, 2.6), atol=2e-3)


@pytest.mark.parametrize("name", ["minmax", "percentile", "mse", "entropy"])
def test_ptq_has_the_range_that_is_asked_for(name: Literal["minmax", "percentile", "mse", "entropy"]) -> None:
    values = np.random.default_rng(1).standard_t(3, 20_000)
    histogram = Histogram(float(values.min()), float(values.max()))
    histogram.add(values)
    module = {"minmax": minmax, "percentile": percentile, "mse": mse, "entropy": entropy}[name]
    options = QuantizeOptions(method="ptq", range=name, percentile=99.0)
    assert ptq.choose_range(histogram, options, 16) == module.choose_range(histogram, options, 16)
