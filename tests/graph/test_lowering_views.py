"""Operators that only move values: views until somebody needs them in memory."""

import pytest

from tests.graph.floats import FloatModel
from tests.graph.models_of_operators import model_of, operators, steps_apart

IMAGE = (4, 6, 8)


@pytest.mark.parametrize("perm", [[0, 1, 3, 2], [0, 2, 3, 1], [0, 3, 2, 1]])
def test_a_transposition_moves_data_at_most_once(perm: list[int]) -> None:
    graph, apart = steps_apart(model_of("Transpose", IMAGE, perm=perm), IMAGE)
    assert operators(graph) == ["rearrange"]
    assert apart <= 0.51


def test_a_convolution_reads_a_transposed_image_through_one_copy() -> None:
    m = FloatModel(IMAGE)
    turned = m.node("Transpose", [m.node("Relu", ["x"], "relu")], "turned", perm=[0, 1, 3, 2])
    one, two = m.conv(turned, "one", (3, 4, 3, 3)), m.conv(turned, "two", (3, 4, 3, 3))
    graph, apart = steps_apart(m.build(m.node("Add", [one, two], "sum")), IMAGE)
    assert operators(graph) == ["lookup", "rearrange", "conv2d", "conv2d", "add"]
    assert apart <= 2.01


def test_a_softmax_along_any_axis() -> None:
    graph, apart = steps_apart(model_of("Softmax", IMAGE, axis=2), IMAGE)
    assert operators(graph) == ["rearrange", "softmax", "rearrange"]
    assert apart <= 1.01
