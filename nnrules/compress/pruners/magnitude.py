"""Single weights by magnitude (Han et al., Learning both Weights and Connections, NeurIPS 2015), gradually."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.masks import Masks, lowest


def choose(weights: Mapping[str, Tensor], sparsity: float, options: PruneOptions) -> Masks:
    """The smallest weights go."""
    return lowest({name: weight.abs() for name, weight in weights.items()}, sparsity, options)
