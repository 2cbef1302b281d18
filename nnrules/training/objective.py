"""What is made small while a network trains: its own loss, and what the recipe adds to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[[Any, Any], "Tensor"]


def objective(network: Any, recipe: Recipe, penalty: Callable[[], Tensor | float] | None = None) -> Loss:
    """The loss of (outputs, targets) of a batch, a scalar.

    With label smoothing (Szegedy et al., CVPR 2016) the share of the recipe is that of classes all alike. ``penalty``:
    what is added whatever the batch is.
    """

    def loss(outputs: Any, targets: Any) -> Tensor:
        found: Tensor = network.loss(outputs, targets)
        if recipe.label_smoothing:
            found = (1 - recipe.label_smoothing) * found + recipe.label_smoothing * _all_alike(outputs, targets)
        return found if penalty is None else found + penalty()

    return loss


def _all_alike(outputs: Any, targets: Any) -> Tensor:
    """Cross entropy to a target that has all classes alike; logits (N, classes, ...)."""
    import torch

    if not (isinstance(outputs, torch.Tensor) and outputs.ndim > 1 and not targets.is_floating_point()):
        fault = "is for logits of classes and their numbers as targets"
        raise UserError("label_smoothing", fault, "leave it out, or smooth in the network's loss")
    return -torch.log_softmax(outputs, 1).mean()
