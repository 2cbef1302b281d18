"""Optimizers: a module ``<name>.py`` here is what ``Train(optimizer="<name>")`` runs.

It defines ``make(groups, recipe)``: the torch optimizer for groups of parameters that have their weight decay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnrules.training.plugins import method

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from nnrules.catalog.stages import Recipe


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """The recipe's optimizer of all parameters; biases, norms and quantizers are not decayed.

    Raises UserError for a name that no file has.
    """
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    found: Optimizer = method(__name__, "optimizer", recipe.optimizer).make(groups, recipe)
    return found
