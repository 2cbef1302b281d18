"""Stochastic gradient descent with Nesterov's momentum (Sutskever et al., ICML 2013)."""

from typing import Any

import torch

from nnrules.catalog.stages import Recipe


def make(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    """`momentum` is the recipe's; without any it is plain descent."""
    momentum = recipe.momentum
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=momentum, nesterov=momentum > 0)
