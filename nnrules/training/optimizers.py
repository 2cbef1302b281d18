"""Optimizers by name, and the learning rate over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nnrules.error import UserError, suggest

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

OPTIMIZERS = ("adamw", "sgd")


def make_optimizer(name: str, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) or SGD with Nesterov momentum 0.9; biases and norms are not decayed."""
    import torch

    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=0.9, nesterov=True)
    raise UserError(f"optimizer {name!r}", "is not known", suggest(name, OPTIMIZERS))


def learning_rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    """Rises in a line over `warmup` steps, then falls along half a cosine to a hundredth of the peak.

    >>> [learning_rate_at(step, 12, 2, 1.0) for step in (0, 1, 2, 7)]
    [0.5, 1.0, 1.0, 0.505]
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
