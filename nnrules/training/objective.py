"""What is made small while a network trains: its own loss, and what the recipe adds to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.training.distillation import are_classes, distance

if TYPE_CHECKING:
    from torch import Tensor, nn

Loss = Callable[[Any, Any, Any], "Tensor"]


def objective(
    network: Any,
    recipe: Recipe,
    penalty: Callable[[], Tensor | float] | None = None,
    teacher: nn.Module | None = None,
) -> Loss:
    """The loss of (inputs, outputs, targets) of a batch, a scalar.

    With label smoothing (Szegedy et al., CVPR 2016) the share of the recipe is that of classes all alike. ``teacher``:
    whose outputs for the same inputs are learnt too. ``penalty``: what is added whatever the batch is.
    """

    def loss(inputs: Any, outputs: Any, targets: Any) -> Tensor:
        found = _scalar(network.loss(outputs, targets), type(network).__name__)
        if recipe.label_smoothing:
            found = (1 - recipe.label_smoothing) * found + recipe.label_smoothing * _all_alike(outputs, targets)
        if teacher is not None:
            far = distance(teacher, inputs, outputs, targets, recipe.temperature)
            found = (1 - recipe.teacher_share) * found + recipe.teacher_share * far
        return found if penalty is None else found + penalty()

    return loss


def _scalar(found: Any, place: str) -> Tensor:
    """What a network's loss gave. Raises UserError where it is no scalar tensor."""
    import torch

    if isinstance(found, torch.Tensor) and found.numel() == 1:
        return found
    what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
    raise UserError(place, f"loss() gives {what}", "return the mean over the batch, a scalar tensor")


def _all_alike(outputs: Any, targets: Any) -> Tensor:
    """Cross entropy to a target that has all classes alike; logits (N, classes, ...)."""
    import torch

    if not are_classes(outputs, targets):
        fault = "is for logits of classes and their numbers as targets"
        raise UserError("label_smoothing", fault, "leave it out, or smooth in the network's loss")
    return -torch.log_softmax(outputs, 1).mean()
