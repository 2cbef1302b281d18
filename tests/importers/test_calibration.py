"""Histograms of activations that hardly change."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from nnrules.compress.calibration import Histogram
from tests.graph.floats import FloatModel
from tests.importers.pipeline import through


@pytest.mark.parametrize(
    ("low", "high"), [(-5, -5), (300.0, 300.05), (0, 0), (1, 1), (-1e6, -1e6), (3e38, 3e38), (0, 1e-30), (-1, 1)]
)
def test_any_range_has_bins(low: float, high: float) -> None:
    values = np.linspace(low, high, 100, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    histogram = Histogram(low, high)
    histogram.add(values)
    assert histogram.counts.sum() == 100
    assert low <= histogram.quantile(0) <= histogram.quantile(1)
    assert histogram.quantile(1) <= high + 1e-12 + abs(low) * 2**-36


def test_a_narrow_range_is_resolved() -> None:
    values = np.float32(300) + np.arange(11, dtype=np.float32) * np.float32(0.005)
    histogram = Histogram(float(values.min()), float(values.max()))
    histogram.add(values)
    assert np.count_nonzero(histogram.counts) == 11
    assert abs(histogram.quantile(0.5) - 300.025) < 0.005


def test_a_constant_activation(tmp_path: Path) -> None:
    m = FloatModel((4,))
    saturated = [m.weights("w", 3, 4), m.constant("b", np.full(3, 100, np.float32))]
    gate = m.node("HardSigmoid", [m.node("Gemm", ["x", *saturated], "gemm", transB=1)], "gate")
    onnx.save(m.build(m.node("Gemm", [gate, m.weights("v", 1, 3)], "y", transB=1)), tmp_path / "m.onnx")
    for count in (1, 8):
        np.savez(tmp_path / "s.npz", x=np.random.default_rng(0).normal(size=(count, 4)).astype(np.float32))
        found = through(tmp_path / "m.onnx", tmp_path, tmp_path / "s.npz")
        ((exact, integer),) = found.outputs()
        assert np.abs(exact - integer).max() < 0.02
