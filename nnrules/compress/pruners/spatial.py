"""Channels and stripes chosen together, for the most importance under a budget of multiplications (Jeong, Lee, An, Son
and Song, Optimal channel selection with discrete QCQP, AISTATS 2022; see nnrules.compress.selection), gradually.

While the sparsity rises they are masked; then the layers become physically smaller, and stripes stay masked.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from nnrules.catalog.stages import PruneOptions
from nnrules.compress import selection
from nnrules.compress.channels import Channels
from nnrules.compress.masks import Layers, Masks
from nnrules.error import UserError

OPTIONS = ("norm", "scope")
SCOPES = ("layer", "global")
REMOVES_CHANNELS = True


def choose(layers: Layers, sparsity: float, options: PruneOptions) -> Masks:
    """What has the largest sum of |w| or w^2 (`norm`) stays, with the share 1 - `sparsity` of the multiplications; with
    `scope` "layer" the sum of a layer counts in shares of that of all its weights.

    A filter that stays has one stripe at least. Raises UserError where that is more than may stay.
    """
    channels, weights = layers.channels, layers.weights()
    problem = _problem(layers, weights, options)
    everything = selection.Choice(problem).cost()
    found = selection.choose(problem, everything * (1 - sparsity), thorough=sparsity == options.sparsity)
    if found.cost() > everything * (1 - sparsity):
        most = math.floor((1 - found.cost() / everything) * 100) / 100
        cure = f"choose {most} at most" if most else "choose another method" + ", or skip less" * bool(options.skip)
        raise UserError(layers.place, f"sparsity {sparsity:g} is more than can be removed", cure)
    masks = {}
    for (name, weight), stripes in zip(weights.items(), found.stripes, strict=True):
        taken = found.alive[channels.taken[name]]
        there = stripes.unsqueeze(1) & taken.unsqueeze(1)  # (out, in, positions)
        masks[name] = there.reshape(weight.shape).to(weight.dtype)
    return masks


def _problem(layers: Layers, weights: dict[str, Tensor], options: PruneOptions) -> selection.Problem:
    channels = layers.channels
    count = len(channels.ties)
    stays = torch.zeros(count + 1, dtype=torch.bool)
    parts = []
    for name, weight in weights.items():
        importance = _importance(weight, options)
        made, taken = (each % (count + 1) for each in (channels.made[name], channels.taken[name]))
        positions = importance.reshape(*importance.shape[:2], -1).transpose(1, 2)
        parts.append(selection.Layer(positions, made, taken, layers.places[name], closed=name in layers.skip))
    for name in layers.skip & channels.made.keys():
        stays[channels.made[name] % (count + 1)] = True
    worth, cost = _depthwise(layers, channels, options)
    return selection.Problem(parts, channels.ties, worth, cost, stays[:-1])


def _importance(weight: Tensor, options: PruneOptions) -> Tensor:
    powers = weight.double().abs().pow(options.norm)
    return powers / powers.sum().clamp(min=1e-30) if options.scope == "layer" else powers


def _depthwise(layers: Layers, channels: Channels, options: PruneOptions) -> tuple[Tensor, Tensor]:
    """What the channels are worth, and cost, in depthwise convolutions."""
    worth, cost = torch.zeros(2, len(channels.ties) + 1, dtype=torch.float64)
    for name, numbers in channels.made.items():
        if name in layers.places and name not in channels.taken:
            weight: Any = layers.network.get_submodule(name).weight
            importance = _importance(weight.detach().cpu(), options).flatten(1)
            worth.index_add_(0, numbers % len(worth), importance.sum(1))
            cost.index_add_(0, numbers % len(cost), torch.full_like(importance, layers.places[name]).sum(1))
    return worth[:-1], cost[:-1]
