"""Single weights by magnitude (Han et al., Learning both Weights and Connections, NeurIPS 2015), gradually."""

from __future__ import annotations

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.masks import Layers, Masks, lowest

OPTIONS = ("scope",)
REMOVES_CHANNELS = False


def choose(layers: Layers, sparsity: float, options: PruneOptions) -> Masks:
    """The smallest weights go."""
    weights = {name: each.abs() for name, each in layers.weights().items() if name not in layers.skip}
    return lowest(weights, sparsity, options)
