"""LayerNormalization: over the last axes, wherever they lie in memory."""

import numpy as np
import pytest

from nnrules.error import UserError
from tests.graph.floats import FloatModel
from tests.graph.models_of_operators import model_of, operators, steps_apart

IMAGE = (4, 6, 8)


def normalized(shape: tuple[int, ...], length: tuple[int, ...], axis: int, **attributes: float) -> FloatModel:
    """With a gain and a bias for each value."""
    random, m = np.random.default_rng(2), FloatModel(shape)
    gain, bias = (random.normal(0, 1, length).astype(np.float32) for _ in range(2))
    inputs = ["x", m.constant("gain", gain), m.constant("bias", bias)]
    m.node("LayerNormalization", inputs, "y", axis=axis, **attributes)
    return m


@pytest.mark.parametrize(
    ("shape", "length", "axis", "ops"),
    [
        ((10,), (10,), -1, ["layer_norm"]),
        ((5, 12), (12,), 2, ["layer_norm"]),
        (IMAGE, (8,), -1, ["rearrange", "layer_norm"]),
        (IMAGE, (6, 8), 2, ["rearrange", "layer_norm"]),
    ],
)
@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_within_a_step(
    shape: tuple[int, ...], length: tuple[int, ...], axis: int, ops: list[str], epsilon: float
) -> None:
    graph, apart = steps_apart(normalized(shape, length, axis, epsilon=epsilon).build("y"), shape)
    assert [each for each in operators(graph) if each != "reshape"][: len(ops)] == ops
    assert apart <= 1.01


def test_over_the_channels_of_an_image_moves_nothing() -> None:
    m = FloatModel(IMAGE)
    last = m.node("Transpose", [m.conv("x", "conv", (4, 4, 3, 3))], "last", perm=[0, 2, 3, 1])
    m.node(
        "Transpose",
        [m.node("LayerNormalization", [last, m.constant("gain", np.ones(4, np.float32))], "n")],
        "y",
        perm=[0, 3, 1, 2],
    )
    graph, apart = steps_apart(m.build("y"), IMAGE)
    assert operators(graph) == ["conv2d", "layer_norm"]
    assert apart <= 1.01


def test_more_values_than_fit_are_refused() -> None:
    model = model_of("LayerNormalization", (5000,), np.ones(5000, np.float32))
    with pytest.raises(UserError) as caught:
        steps_apart(model, (5000,))
    assert (
        str(caught.value)
        == "net: node 'y' (LayerNormalization): normalizes 5,000 values together; at most 4,096 are supported"
    )
