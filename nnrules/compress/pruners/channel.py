"""Whole channels by the magnitude of all that goes with them (Li et al., Pruning Filters for Efficient ConvNets, ICLR
2017; the filters and what other layers take of them together: Fang et al., DepGraph, CVPR 2023), gradually.

While the sparsity rises they are masked; then the layers become physically smaller.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.channels import Channels, chosen
from nnrules.compress.masks import Layers, Masks, lamp

OPTIONS = ("norm", "scope", "round_to")
REMOVES_CHANNELS = True


def choose(layers: Layers, sparsity: float, options: PruneOptions) -> Masks:
    """Of the channels that are added or scaled together, the share `sparsity` with the smallest norm goes, or (`scope`)
    of all channels, with "lamp" as shares of their tie's; how many of a tie stay is rounded up to a multiple of
    `round_to`. The network's outputs stay."""
    channels, weights = layers.channels, layers.weights()
    scores = _scores(channels, weights, options.norm)
    alive = torch.ones(len(scores), dtype=torch.bool)
    ties = [each for each in sorted(set(channels.ties.tolist())) if _open(layers, each)]
    open_ones = torch.isin(channels.ties, torch.tensor(ties, dtype=torch.long)).nonzero().flatten()
    if options.scope == "lamp":
        shares = torch.zeros_like(scores, dtype=torch.float64)
        for tie in ties:
            shares[channels.ties == tie] = lamp(scores[channels.ties == tie])
        scores = shares
    weakest = open_ones[scores[open_ones].argsort(stable=True)]
    if options.scope != "layer":
        weakest = weakest[: _share(len(weakest), sparsity)]
    for tie in ties:
        members, count = weakest[channels.ties[weakest] == tie], int((channels.ties == tie).sum())
        gone = _share(count, sparsity) if options.scope == "layer" else len(members)
        alive[members[: count - _kept(count - gone, count, options.round_to)]] = False
    return masked(channels, weights, alive) if ties else {}


def masked(channels: Channels, weights: dict[str, Tensor], alive: Tensor) -> Masks:
    """Masks that leave in each layer what is made of and for channels that are alive."""
    masks = {}
    for name, weight in weights.items():
        there = torch.outer(chosen(alive, channels.made[name]), chosen(alive, channels.taken[name]))
        masks[name] = there.reshape(*there.shape, *[1] * (weight.ndim - 2)).expand_as(weight).to(weight.dtype)
    return masks


def _open(layers: Layers, tie: int) -> bool:
    return not layers.skip & set(layers.channels.makers(tie))


def _share(count: int, sparsity: float) -> int:
    """How many of so many channels go, rounded down."""
    return math.floor(round(count * sparsity, 6))


def _kept(least: int, count: int, multiple: int) -> int:
    """How many of so many channels stay where that is to be a multiple, if they are enough."""
    return min(count, math.ceil(least / multiple) * multiple)


def _scores(channels: Channels, weights: dict[str, Tensor], norm: int) -> Tensor:
    """The mean norm of the weights that a channel is made with and taken by."""
    total, count = torch.zeros(2, len(channels.ties) + 1)  # the last: those that stay
    for name, weight in weights.items():
        powers = weight.abs().pow(norm)
        for numbers, rows in ((channels.made[name], powers), (channels.taken[name], powers.transpose(0, 1))):
            total.index_add_(0, numbers % len(total), rows.flatten(1).sum(1))
            count.index_add_(0, numbers % len(total), torch.full((len(numbers),), float(rows[0].numel())))
    return (total / count.clamp(min=1))[:-1].pow(1 / norm)
