"""The PID optimizer (An et al., A PID Controller Approach for Stochastic Optimization of Deep Networks, CVPR 2018).

    I <- mu I + (1 - tau) g
    D <- mu D + (1 - mu) (g_t - g_(t-1))
    theta <- theta - eta (g + k_I I + k_D D)

The derivative needs the gradient of the step before, which is kept here; D is 0 at the first step.
"""

from collections.abc import Callable
from typing import Any

import torch

from nnrules.catalog.stages import Recipe


class Pid(torch.optim.Optimizer):
    """`momentum`: mu; `dampening`: tau; weight decay is added to the gradient, as in SGD."""

    def __init__(
        self, groups: list[dict[str, Any]], lr: float, momentum: float, dampening: float, k_i: float, k_d: float
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "k_i": k_i, "k_d": k_d, "weight_decay": 0.0}
        super().__init__(groups, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; gives what ``closure`` does, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        state, momentum = self.state[parameter], group["momentum"]
        if not state:
            state["integral"] = torch.zeros_like(gradient)
            state["derivative"] = torch.zeros_like(gradient)
            state["before"] = gradient.detach().clone()
        state["integral"].mul_(momentum).add_(gradient, alpha=1 - group["dampening"])
        state["derivative"].mul_(momentum).add_(gradient - state["before"], alpha=1 - momentum)
        state["before"].copy_(gradient)
        change = gradient + group["k_i"] * state["integral"] + group["k_d"] * state["derivative"]
        parameter.sub_(group["lr"] * change)


def make(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    """`k_i` and `k_d` are the recipe's."""
    return Pid(groups, recipe.learning_rate, recipe.momentum, recipe.dampening, recipe.k_i, recipe.k_d)
