"""SQNR against a float model of one layer, computed by hand beside it."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from nnrules.graph.ir import Graph
from nnrules.verify.sqnr import Sqnr, as_nhwc
from tests.verify.graphs import float_model


def test_noise_of_rounding_alone(graph: Graph, samples: dict[str, np.ndarray], tmp_path: Path) -> None:
    onnx.save(float_model(graph, "stem"), tmp_path / "m.float.onnx")
    integers = graph.run(samples["image"])
    sqnr = Sqnr(graph, tmp_path / "m.float.onnx")
    for batch in (slice(0, 2), slice(2, 5)):
        sqnr.add({"image": samples["image"][batch]}, {name: array[batch] for name, array in integers.items()})
    stem, *others = sqnr.decibels()
    operator = graph.nodes[0].operator
    scale = operator.requantization.real_scale() * graph.tensors["stem"].scale
    padded = operator.geometry.pad(samples["image"], operator.x_zero_point).astype(np.float64) - operator.x_zero_point
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    real = (np.einsum("nhwcij,oijc->nhwo", windows, operator.weights.astype(np.float64)) + operator.bias) * scale
    error = real - graph.tensors["stem"].dequantize(integers["stem"])
    assert stem == pytest.approx(10 * np.log10(np.square(real).sum() / np.square(error).sum()), abs=0.02)
    assert others == [None] * 5


def test_tensor_of_another_shape_is_left_out() -> None:
    batch = np.zeros((2, 3, 4, 5))
    converted = as_nhwc(batch, (4, 5, 3))
    assert converted is not None
    assert converted.shape == (2, 4, 5, 3)
    assert as_nhwc(batch, (3, 4, 5)) is None
