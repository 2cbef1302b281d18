"""PACT (Choi et al., 2018, arXiv:1805.06085): inputs are clipped at a trained alpha; weights as in DoReFa.

clip(x, 0, alpha), whose gradient for alpha is 1 where x >= alpha; alpha starts at 6 and is pulled to zero by L2. Where
no input reaches 6 it starts at the largest: nothing but L2 would lower it, which takes more epochs than there are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import InputQuantizer, level_range, rounded
from nnrules.compress.quantizers import dorefa

WEIGHT_BITS = (1, 2, 3, 4, 8)
ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ("clip_decay",)
START = 6.0
LEAST = 1e-8

Weights = dorefa.Weights


class Inputs(InputQuantizer):
    """Levels of [0, alpha], or where there are inputs below zero of [-alpha low / high, alpha]."""

    def __init__(self, sample: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.lo, self.hi = level_range(sample, bits, options.symmetric)
        self.decay = options.clip_decay
        largest = torch.maximum(sample.max(), sample.min() * self.hi / self.lo) if self.lo else sample.max()
        self.alpha = nn.Parameter(largest.detach().clamp(min=LEAST, max=START).clone())

    def scale(self) -> Tensor:
        return self.alpha.abs().clamp(min=LEAST) / self.hi

    def forward(self, x: Tensor) -> Tensor:
        """Apart from the rounding the gradients are those of min(max(x, 0), alpha): the step has none of its own."""
        alpha, scale = self.alpha.abs().clamp(min=LEAST), self.scale().detach()
        low = alpha * (self.lo / self.hi)
        clipped = torch.where(x >= alpha, alpha, torch.where(x <= low, low, x))
        return rounded(clipped / scale) * scale

    def penalty(self) -> Tensor:
        """What the loss grows by."""
        return self.decay * self.alpha**2
