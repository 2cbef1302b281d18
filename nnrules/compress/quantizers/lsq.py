"""Learned step sizes: LSQ (Esser et al., Learned Step Size Quantization, ICLR 2020, arXiv:1902.08153).

v = round(clip(x / s, -Q_N, Q_P)) s with s trained; its gradient is scaled by 1 / sqrt(N Q_P).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import InputQuantizer, WeightQuantizer, closest_step, gradient_scaled, level_range, rounded
from nnrules.compress.zeros import of_zeros

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ()
LEAST = 1e-8


class Weights(WeightQuantizer):
    """Codes -2^(bits - 1) to 2^(bits - 1) - 1, but -127 to 127 with eight bits; a step for each output channel, or
    (``per_channel`` off) one. Of a pruned layer N counts what is left, of whose size the mean of all weights says
    little: the step begins where rounding has the least squared error.
    """

    def __init__(self, weight: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.lo, self.hi = max(-(2 ** (bits - 1)), -127), 2 ** (bits - 1) - 1
        rows = weight.detach().reshape(1 if options.per_channel is False else len(weight), -1)
        pruned = of_zeros(rows) is not None
        start = closest_step(rows, self.lo, self.hi) if pruned else 2 * rows.abs().mean(1) / math.sqrt(self.hi)
        self.steps = nn.Parameter(start.clamp(min=LEAST))
        self.size = max(int(rows.count_nonzero()) / len(rows), 1.0)  # N

    def codes(self, weight: Tensor) -> Tensor:
        return rounded(torch.clamp(weight / self.step(weight), self.lo, self.hi))

    def step(self, weight: Tensor) -> Tensor:
        factor = 1 / math.sqrt(self.size * self.hi)
        steps = gradient_scaled(self.steps, factor).abs().clamp(min=LEAST)
        return steps.reshape(-1, *[1] * (weight.ndim - 1))


class Inputs(InputQuantizer):
    """Levels from 0, or where there are inputs below zero from as many below zero as their range asks for."""

    def __init__(self, sample: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.lo, self.hi = level_range(sample, bits, options.symmetric)
        self.most = max(self.hi, -self.lo)  # Q_P
        self.size = sample[0].numel()
        self.step = nn.Parameter((2 * sample.abs().mean() / math.sqrt(self.most)).clamp(min=LEAST))

    def scale(self) -> Tensor:
        return gradient_scaled(self.step, 1 / math.sqrt(self.size * self.most)).abs().clamp(min=LEAST)
