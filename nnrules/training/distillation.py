"""Knowledge distillation: what a network learns from a teacher beside its targets (Hinton, Vinyals and Dean, Distilling
the Knowledge in a Neural Network, 2015, arXiv:1503.02531).

Logits of classes are compared softened, by KL divergence; all other outputs by their squared distance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nnrules.error import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


def distance(teacher: nn.Module, inputs: Any, outputs: Any, targets: Any, temperature: float) -> Tensor:
    """How far ``outputs`` are from what ``teacher`` gives for ``inputs``, a mean over the batch.

    For logits of classes (N, classes, ...) with numbers of classes as targets: T^2 KL(softmax(t / T) || softmax(s / T))
    at the temperature T, whose gradients are as large at each of them; for all else the mean of (s - t)^2, of several
    outputs its sum.
    Raises UserError where the two give outputs of different shapes.
    """
    import torch

    with torch.no_grad():
        taught = teacher(*inputs) if isinstance(inputs, list) else teacher(inputs)
    learnt, taught = _listed(outputs), _listed(taught)
    for ours, theirs in zip(learnt, taught, strict=False):
        if ours.shape != theirs.shape or len(learnt) != len(taught):
            fault = f"gives outputs of the shape {_shape(theirs)}, the network {_shape(ours)}"
            raise UserError("teacher", fault, "name a network for the same task")
    if are_classes(outputs, targets):
        ours, theirs = (torch.log_softmax(each[0].float() / temperature, 1) for each in (learnt, taught))
        divergence = torch.nn.functional.kl_div(ours, theirs, reduction="none", log_target=True)
        return temperature**2 * divergence.sum(1).mean()
    each = [torch.nn.functional.mse_loss(ours, theirs) for ours, theirs in zip(learnt, taught, strict=True)]
    return torch.stack(each).sum()


def are_classes(outputs: Any, targets: Any) -> bool:
    """Whether outputs are logits (N, classes, ...), and targets the numbers of classes."""
    import torch

    return isinstance(outputs, torch.Tensor) and outputs.ndim > 1 and not targets.is_floating_point()


def _listed(outputs: Any) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def _shape(tensor: Tensor) -> str:
    """Without the batch."""
    return f"({', '.join(map(str, tensor.shape[1:]))})"
