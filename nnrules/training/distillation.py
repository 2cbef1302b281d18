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
    ours, theirs = (", ".join(_shape(each) for each in some) for some in (learnt, taught))
    if ours != theirs:
        fault = f"gives outputs of the shape {theirs}, the network {ours}"
        raise UserError("teacher", fault, "name a network for the same task")
    if are_classes(outputs, targets):
        q, p = (torch.log_softmax(each[0].float() / temperature, 1) for each in (learnt, taught))
        divergence = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True)
        return temperature**2 * divergence.sum(1).mean()
    each = [torch.nn.functional.mse_loss(one, other) for one, other in zip(learnt, taught, strict=True)]
    return torch.stack(each).sum()


def are_classes(outputs: Any, targets: Any) -> bool:
    """Whether outputs are logits (N, classes, ...) of two classes at least, and targets (N, ...) their numbers."""
    import torch

    if not isinstance(outputs, torch.Tensor) or not isinstance(targets, torch.Tensor) or outputs.ndim < 2:
        return False
    alike = outputs.shape[1] > 1 and targets.shape == outputs.shape[:1] + outputs.shape[2:]
    return alike and not targets.is_floating_point() and targets.dtype != torch.bool


def _listed(outputs: Any) -> list[Tensor]:
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def _shape(tensor: Tensor) -> str:
    """Without the batch."""
    return f"({', '.join(map(str, tensor.shape[1:]))})"
