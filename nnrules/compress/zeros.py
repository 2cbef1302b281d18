"""Weights that are zero and stay so."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize


class Mask(nn.Module):
    """Parametrizes a weight: times 1 or 0. A copy of a network (its moving average) has the same masks as itself."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        result: Tensor = weight * self.mask
        return result

    def __deepcopy__(self, _: Any) -> Mask:
        return self


def hold_zeros(network: nn.Module) -> None:
    """Put masks on the convolutions and fully connected layers that were pruned."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear) and (mask := of_zeros(layer.weight.detach())) is not None:
            parametrize.register_parametrization(layer, "weight", Mask(mask))


def release_zeros(network: nn.Module) -> None:
    """Leave plain layers where masks are, zeros in their weights."""
    for layer in network.modules():
        if parametrize.is_parametrized(layer, "weight") and isinstance(parametrizations(layer)[-1], Mask):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)


def parametrizations(layer: nn.Module) -> Any:
    """Of a layer's weight, in the order in which they are taken."""
    return layer.parametrizations["weight"]  # type: ignore[index]


def of_zeros(weight: Tensor) -> Tensor | None:
    """The mask of a pruned weight; None where nothing is zero, or all, which no pruner leaves."""
    mask = (weight != 0).to(weight.dtype)
    return mask if bool(mask.any()) and not bool(mask.all()) else None
