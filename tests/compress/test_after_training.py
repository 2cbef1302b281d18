"""What makes a float model ready for few bits without training: each part does what its paper says."""

import numpy as np
import onnx
import onnxruntime
import pytest

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress import rounding
from nnrules.compress.after_training import (
    Prepared,
    best_scales,
    correct_biases,
    equalize,
    linear_layers,
    narrow_inputs,
    narrow_weights,
    prepare,
    widths,
)
from nnrules.compress.arrays import store, weights
from nnrules.compress.quantizers import entropy, minmax, mse, percentile, ptq
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


def narrowed(bits: int = 2) -> tuple[Prepared, dict[str, np.ndarray], np.ndarray]:
    """All layers' weights of few bits; the float ones, and its outputs."""
    built = model()
    exact = run(built)
    before = {node.input[1]: weights(built, node.input[1]) for node in linear_layers(built)}
    found = Prepared(built)
    for node in linear_layers(built):
        narrow_weights(found, node, bits)
    return found, before, exact


def test_biases_take_up_what_rounding_adds_on_average() -> None:
    found, before, exact = narrowed()
    shifted = np.abs((run(found.model) - exact).mean((0, 2, 3)))
    correct_biases(found, before, batches, "here")
    assert np.abs((run(found.model) - exact).mean((0, 2, 3))).sum() < 0.5 * shifted.sum()


def test_rounding_up_or_down_keeps_outputs_better_than_to_the_nearest() -> None:
    """Of a single layer, whose input has a mean far from zero."""
    m = FloatModel(SHAPE)
    found = Prepared(m.build(m.conv("x", "a", (4, 3, 3, 3))))
    (node,) = linear_layers(found.model)
    exact, before = run(found.model), {node.input[1]: weights(found.model, node.input[1])}
    narrow_weights(found, node, 3)
    nearest, codes = ((run(found.model) - exact) ** 2).mean(), found.codes[node.input[1]].astype(int)
    rounding.adapt(found.model, found.codes, before, QuantizeOptions(), batches)
    assert ((run(found.model) - exact) ** 2).mean() < 0.5 * nearest
    adapted = found.codes[node.input[1]].astype(int)
    assert np.abs(adapted).max() <= 3
    assert np.abs(adapted - codes).max() == 1


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
        widths(linear_layers(model()), QuantizeOptions(skip=("d",)), "here")
    assert str(caught.value) == text


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    built = model()
    before = built.SerializeToString()
    found = prepare(built, QuantizeOptions(), batches, mse.choose_range, "here")
    assert (found.stated, found.codes) == ({}, {})
    assert built.SerializeToString() == before


@pytest.mark.parametrize("module", [minmax, percentile, mse, entropy, ptq])
@pytest.mark.parametrize("levels", [4, 16, 256])
def test_ranges_hold_what_they_should(module: object, levels: int) -> None:
    """Of values with a long tail: within what was seen; the fewer levels, the less of the tail."""
    from nnrules.compress.calibration import Histogram

    values = np.abs(np.random.default_rng(1).standard_t(3, 20_000))
    histogram = Histogram(float(values.min()), float(values.max()))
    histogram.add(values)
    low, high = module.choose_range(histogram, QuantizeOptions(), levels)  # type: ignore[attr-defined]
    assert -0.1 * values.max() <= low <= np.median(values)
    assert np.median(values) < high <= values.max() * 1.001
    if module is mse and levels < 256:
        assert high < 0.5 * values.max()
