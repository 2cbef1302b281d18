"""Layers of few bits, whose stripes are zero in part, or whose outputs come by thresholds, with random weights."""

from typing import Any

import numpy as np
from msgspec.structs import replace

from benchmarks.kernels import chain
from nnrules.graph.ir import Graph
from nnrules.graph.requant import Requantization
from nnrules.graph.thresholds import Thresholds

LAYERS: list[tuple[str, int, int, int]] = [  # kind, kernel, stride, out channels
    ("conv", 3, 1, 32), ("conv", 3, 1, 32), ("conv", 3, 1, 32), ("conv", 3, 1, 32), ("depthwise", 3, 1, 32),
    ("conv", 1, 1, 32), ("conv", 3, 2, 16), ("fc", 1, 1, 24), ("fc", 1, 1, 24),
]  # fmt: skip
SORTS: list[tuple[int, float, int]] = [  # bits of weights, share of stripes removed, levels of outputs by thresholds
    (4, 0.0, 0), (8, 0.75, 0), (2, 0.75, 0), (8, 0.9, 4), (4, 0.0, 0),
    (2, 0.0, 16), (1, 0.0, 0), (4, 0.0, 0), (2, 0.0, 4),
]  # fmt: skip


def few_bits() -> Graph:
    """LAYERS one after the other, each of a sort of SORTS."""
    graph = chain("few_bits", (12, 12, 16), LAYERS)
    nodes = []
    for node, (bits, removed, levels) in zip(graph.nodes, SORTS, strict=True):
        words = [f"{bits} bits", f"{removed:.0%} removed" * (removed > 0), f"{levels} thresholds" * (levels > 0)]
        name = ", ".join([node.name, *filter(None, words)])
        nodes.append(replace(node, name=name, operator=of_sort(node.operator, bits, removed, levels)))
    return replace(graph, nodes=tuple(nodes))


def of_sort(operator: Any, bits: int, removed: float = 0.0, levels: int = 0) -> Any:
    """A layer with weights of so many bits, -1 and 1 if it is one; a share of its stripes (all input channels at one
    position of a filter) is zero; with ``levels``, outputs by thresholds that the sums reach about equally often."""
    generator = np.random.default_rng(bits)
    weights = operator.weights >> (8 - bits) if bits > 1 else np.where(operator.weights < 0, -1, 1).astype(np.int8)
    stripes = weights.reshape(-1, weights.shape[-1]).copy()
    stripes[generator.permutation(len(stripes))[: round(len(stripes) * removed)]] = 0
    spread = (2.0**bits / 3.4 if bits > 1 else 1.0) * 74 * (weights[0].size * (1 - removed)) ** 0.5
    rule: Any = Requantization(
        np.full(len(weights), int(2**32 / spread * 20) // 2 * 2, np.int32),
        np.zeros(len(weights), np.uint8), 0, -128, 127,
    )  # fmt: skip
    if levels:
        edges = np.sort(generator.normal(0, spread, (len(weights), levels - 1)), axis=1)
        rule = Thresholds(edges.astype(np.int32), -128)
    return replace(operator, weights=stripes.reshape(weights.shape), requantization=rule)
