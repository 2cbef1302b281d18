"""Vectors of N input channels at one position of a filter ("1x1xN", shape-wise); with all channels, stripes (Meng et
al., Pruning Filter in Filter, NeurIPS 2020, arXiv:2009.14410). Kernels skip them, and what is left is dense.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.masks import Masks, lowest


def choose(weights: Mapping[str, Tensor], sparsity: float, options: PruneOptions) -> Masks:
    """The vectors with the smallest norm go, by the mean over their length.

    `n`: channels of a vector, 0: all of them; so are those of a layer that `n` does not divide. Layers whose vectors
    would be whole filters (1x1 and fully connected ones with N all channels) stay as they are.
    """
    vectors = {name: _vectors(weight, options.n) for name, weight in weights.items()}
    vectors = {name: each for name, each in vectors.items() if each.shape[1] * each.shape[2] > 1}
    scores = {name: each.abs().pow(options.norm).mean(-1).pow(1 / options.norm) for name, each in vectors.items()}
    masks = lowest(scores, sparsity, options)
    return {name: _back(masks[name].unsqueeze(-1).expand_as(each), weights[name]) for name, each in vectors.items()}


def _vectors(weight: Tensor, n: int) -> Tensor:
    """(out, in, height, width) -> (out, positions, in / n, n); (out, in) likewise with one position."""
    last = weight.reshape(*weight.shape[:2], -1).transpose(1, 2)
    length = n if n and last.shape[2] % n == 0 else last.shape[2]
    return last.reshape(*last.shape[:2], -1, length)


def _back(vectors: Tensor, weight: Tensor) -> Tensor:
    return vectors.reshape(len(weight), -1, weight.shape[1]).transpose(1, 2).reshape(weight.shape)
