"""Weights that are zero and stay so."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


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


def of_zeros(weight: Tensor) -> Tensor | None:
    """The mask of a pruned weight; None where nothing is zero, or all, which no pruner leaves."""
    mask = (weight != 0).to(weight.dtype)
    return mask if bool(mask.any()) and not bool(mask.all()) else None
