"""Vectors of N input channels at one position of a filter ("1x1xN", shape-wise); with all channels, stripes (Meng et
al., Pruning Filter in Filter, NeurIPS 2020, arXiv:2009.14410). Kernels skip them, and what is left is dense.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.masks import Layers, Masks, lowest

OPTIONS = ("norm", "scope", "n", "importance", "skeleton_penalty")
REMOVES_CHANNELS = False


def choose(layers: Layers, sparsity: float, options: PruneOptions) -> Masks:
    """The vectors with the smallest norm go, by the mean over their length; or (`importance` "skeleton") those with the
    smallest factor.

    `n`: channels of a vector, 0: all of them; so are those of a layer that `n` does not divide. Layers whose vectors
    would be whole filters (1x1 and fully connected ones with N all channels) stay as they are.
    """
    weights = {name: each for name, each in layers.weights().items() if name not in layers.skip}
    scores = {name: _norms(vectors(each, options.n), options.norm) for name, each in weights.items()}
    if options.importance == "skeleton":
        factors = layers.learned()
        scores = {name: factors[name].abs() * (each > 0) for name, each in scores.items() if name in factors}
    scores = {name: each for name, each in scores.items() if name in weights and each[0].numel() > 1}
    masks = lowest(scores, sparsity, options)
    return {name: spread(mask, weights[name].shape) for name, mask in masks.items()}


def learned(weight: Tensor, options: PruneOptions) -> Skeleton | None:
    """The skeleton, where it is asked for and there is something to choose from."""
    found = Skeleton(weight, options) if options.importance == "skeleton" else None
    return found if found and found.factors[0].numel() > 1 else None


class Skeleton(nn.Module):
    """A factor of each vector, 1 at first, which an L1 penalty makes smaller and the training larger; in a row, as
    parameters are that have no weight decay."""

    def __init__(self, weight: Tensor, options: PruneOptions) -> None:
        super().__init__()
        self._shape = vectors(weight, options.n).shape[:3]
        self.row = nn.Parameter(torch.ones(self._shape.numel()))
        self.strength = options.skeleton_penalty

    def forward(self, weight: Tensor) -> Tensor:
        return weight * spread(self.factors, weight.shape)

    @property
    def factors(self) -> Tensor:
        """(out, positions, in / n)."""
        return self.row.reshape(self._shape)

    def penalty(self) -> Tensor:
        """Of the loss."""
        return self.strength * self.row.abs().sum()


def vectors(weight: Tensor, n: int) -> Tensor:
    """(out, in, height, width) -> (out, positions, in / n, n); (out, in) likewise with one position."""
    last = weight.reshape(*weight.shape[:2], -1).transpose(1, 2)
    length = n if n and last.shape[2] % n == 0 else last.shape[2]
    return last.reshape(*last.shape[:2], -1, length)


def spread(each: Tensor, shape: torch.Size) -> Tensor:
    """(out, positions, in / n) one number for each vector -> the weight's shape."""
    long = each.repeat_interleave(shape[1] // each.shape[2], dim=2)
    return long.transpose(1, 2).reshape(shape)


def _norms(each: Tensor, norm: int) -> Tensor:
    return each.abs().pow(norm).mean(-1).pow(1 / norm)
