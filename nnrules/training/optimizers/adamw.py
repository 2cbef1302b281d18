"""AdamW (Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, arXiv:1711.05101)."""

from typing import Any

import torch

from nnrules.catalog.stages import Recipe


def make(groups: list[dict[str, Any]], recipe: Recipe) -> torch.optim.Optimizer:
    """With torch's defaults for the moments."""
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)
