"""The range that loses least information: Kullback-Leibler divergence (Migacz, 8-bit Inference with TensorRT, GTC
2017)."""

import numpy as np

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import BINS, Histogram

STEP = 32  # bins between the ranges that are tried

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ()


def choose_range(histogram: Histogram, options: QuantizeOptions, levels: int = 256) -> tuple[float, float]:
    """The real range (low, high) that the levels cover.

    Ranges that leave out more and more of the end which is further from zero, then of both alike, are compared; what is
    outside counts as the outermost value, once in the distribution that is to be met and not in the quantized one.
    """
    edges = np.linspace(histogram.low, histogram.high, BINS + 1)
    zero = int(np.clip(np.searchsorted(edges, 0.0), 0, BINS))
    reach = max(zero, BINS - zero)
    tried = [(max(0, zero - far), min(BINS, zero + far)) for far in range(STEP, reach + STEP, STEP)]
    tried = [(first, last) for first, last in tried if last - first >= levels]  # of fewer bins each would have a level
    best = min(dict.fromkeys(tried), key=lambda ends: _divergence(histogram.counts, ends[0], ends[1], levels))
    return float(edges[best[0]]), float(edges[best[1]])


def _divergence(counts: np.ndarray, first: int, last: int, levels: int) -> float:
    """Of what was seen, gathered at the ends of bins ``first`` to ``last - 1``, from its quantized form."""
    inside = counts[first:last].astype(np.float64)
    seen = inside.copy()
    seen[0] += counts[:first].sum()
    seen[-1] += counts[last:].sum()
    level = np.arange(len(inside)) * levels // len(inside)
    there = inside > 0
    totals, bins = np.bincount(level, inside, levels), np.bincount(level, there, levels)
    quantized = np.where(there, (totals / np.maximum(bins, 1))[level], 0.0)
    if quantized.sum() == 0:
        return float("inf")
    p, q = seen / seen.sum(), quantized / quantized.sum()
    known = p > 0
    return float((p[known] * np.log(p[known] / np.maximum(q[known], 1e-12))).sum())
