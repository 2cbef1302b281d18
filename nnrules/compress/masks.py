"""Weights that are zero and stay so: masks on layers, which a pruner chooses anew while the sparsity rises."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnrules.catalog.stages import PruneOptions
from nnrules.error import UserError, suggest

Masks = dict[str, Tensor]
Chooser = Callable[[Mapping[str, Tensor], float, PruneOptions], Masks]


class Mask(nn.Module):
    """Parametrizes a weight: times 1 or 0."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        result: Tensor = weight * self.mask
        return result


def prunable(network: nn.Module, options: PruneOptions, place: str) -> dict[str, nn.Module]:
    """Convolutions but depthwise ones, and fully connected layers, without those that `skip` names.

    Raises UserError for a name that is none of them.
    """
    found: dict[str, nn.Module] = {
        name: each
        for name, each in network.named_modules()
        if isinstance(each, nn.Linear) or (isinstance(each, nn.Conv2d) and each.groups == 1)
    }
    for name in options.skip:
        if name not in found:
            raise UserError(place, f"skip names {name!r}, which is no layer", suggest(name, found))
        del found[name]
    return found


class Pruning:
    """A network under masks, which are put on when this is made."""

    def __init__(self, network: nn.Module, choose: Chooser, options: PruneOptions, place: str) -> None:
        self.layers, self.choose, self.options, self.place = prunable(network, options, place), choose, options, place
        for layer in self.layers.values():
            weight: Tensor = layer.weight  # type: ignore[assignment]
            parametrize.register_parametrization(layer, "weight", Mask(torch.ones_like(weight)))

    def before_epoch(self, epoch: int) -> None:
        """Choose the masks of an epoch: the sparsity rises over the first epochs as a cube does (Zhu and Gupta, To
        prune, or not to prune, 2017, arXiv:1710.01878), and stays."""
        rising = max(1, round(self.options.retrain_epochs * self.options.ramp))
        if epoch < rising:
            self.set(self.options.sparsity * (1 - (1 - (epoch + 1) / rising) ** 3))

    def set(self, sparsity: float) -> None:
        """Choose masks. Raises UserError where a layer would be empty."""
        weights = {name: each.parametrizations["weight"].original.detach() for name, each in self.layers.items()}  # type: ignore[index, union-attr]
        for name, mask in self.choose(weights, sparsity, self.options).items():
            if not mask.any():
                raise UserError(
                    f"{self.place}: layer '{name}'", "would lose all its weights", "lower sparsity or skip it"
                )
            self.layers[name].parametrizations["weight"][0].mask.copy_(mask)  # type: ignore[index, union-attr]

    def finish(self) -> dict[str, list[int]]:
        """Leave plain layers, zeros in their weights; of each the weights there were and those that are not zero."""
        kept = {}
        for name, layer in self.layers.items():
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
            weight: Tensor = layer.weight  # type: ignore[assignment]
            kept[name] = [weight.numel(), int((weight != 0).sum())]
        return kept


def of_zeros(weight: Tensor) -> Tensor | None:
    """The mask of a pruned weight; None where nothing is zero."""
    mask = (weight != 0).to(weight.dtype)
    return None if bool(mask.all()) else mask


def lowest(scores: Mapping[str, Tensor], sparsity: float, options: PruneOptions) -> Masks:
    """Masks of the shape of the scores that leave the lowest ones out: of each layer, or with `scope` "global" of
    all."""
    if options.scope == "layer":
        return {name: _above(each, sparsity) for name, each in scores.items()}
    flat = _above(torch.cat([each.flatten() for each in scores.values()]), sparsity)
    parts = torch.split(flat, [each.numel() for each in scores.values()])
    return {name: part.reshape(each.shape) for (name, each), part in zip(scores.items(), parts, strict=True)}


def _above(scores: Tensor, sparsity: float) -> Tensor:
    """1 but for this share of the lowest scores; of equal ones those further in front go first."""
    mask = torch.ones(scores.numel(), dtype=scores.dtype)
    mask[scores.flatten().argsort(stable=True)[: round(sparsity * scores.numel())]] = 0
    return mask.reshape(scores.shape)
