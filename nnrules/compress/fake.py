"""What a quantizer that is trained consists of: a layer's weights and its input as the few values they may take.

Both are modules that compute in real numbers what the integer program computes later. Gradients go straight through
the rounding (Bengio et al., 2013, arXiv:1308.3432).
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

LEAST = 1e-6  # of a step's range
PARTS = 64  # of the largest value, one of which is the end
ENOUGH = 2**16  # inputs to choose it by


class WeightQuantizer(nn.Module):
    """Parametrizes a layer's weight (output channel first): ``forward`` gives codes times step."""

    @abstractmethod
    def codes(self, weight: Tensor) -> Tensor:
        """Integer-valued, of an int8's values, with gradients, of the weight's shape."""

    @abstractmethod
    def step(self, weight: Tensor) -> Tensor:
        """What a code of 1 stands for; broadcasts against the weight, one number or one for each output channel."""

    def forward(self, weight: Tensor) -> Tensor:
        return self.codes(weight) * self.step(weight)


class InputQuantizer(nn.Module):
    """Quantizes a layer's input: with y = slope * x + offset, scale * clip(round(y / scale), lo, hi)."""

    lo: int
    hi: int

    @abstractmethod
    def scale(self) -> Tensor:
        """What a level stands for: one number above zero."""

    def line(self) -> tuple[Tensor | float, Tensor | float]:
        """(slope, offset)."""
        return 1.0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        slope, offset = self.line()
        scale = self.scale()
        return rounded(torch.clamp((slope * x + offset) / scale, self.lo, self.hi)) * scale


def level_range(sample: Tensor, bits: int, symmetric: bool) -> tuple[int, int]:
    """The lowest and the highest level, which is above zero: 0 to 2^bits - 1, or where the sample has values below zero
    as many of the levels below zero as that is of its range, or half of them (``symmetric``)."""
    top = 2**bits - 1
    low, high = float(sample.min()), max(float(sample.max()), 0.0)
    if low >= 0:
        return 0, top
    below = 2 ** (bits - 1) if symmetric else min(max(round(-low / (high - low) * top), 1), top - 1)
    return -below, top - below


def thinned(sample: Tensor) -> Tensor:
    """(1, count): not many more than ENOUGH of its values, with the least and the largest."""
    values = sample.detach().flatten()
    kept = [values.min().reshape(1), values.max().reshape(1), values[:: max(1, len(values) // ENOUGH)]]
    return torch.cat(kept).reshape(1, -1)


def closest_step(values: Tensor, lo: int, hi: int) -> Tensor:
    """For each row of ``values`` (rows, count) the step whose levels ``lo`` to ``hi`` are nearest to them, by squared
    error, of 64 up to the one that reaches the largest."""
    most = values.amax(1) / hi
    if lo < 0:
        most = torch.maximum(most, values.amin(1) / lo)
    most = most.clamp(min=LEAST)
    steps = most * torch.arange(1, PARTS + 1).to(most).unsqueeze(1) / PARTS  # (parts, rows)
    errors = [((values / step).round().clamp(lo, hi) * step - values).square().mean(1) for step in steps.unsqueeze(2)]
    best = torch.stack(errors).argmin(0, keepdim=True)
    return steps.gather(0, best)[0]


def by_channel(weight: Tensor) -> list[int]:
    """The axes of a weight but that of its output channels."""
    return list(range(1, weight.ndim))


def rounded(x: Tensor) -> Tensor:
    """To the nearest integer, ties to even; the gradient of the identity."""
    return x + (x.round() - x).detach()


def gradient_scaled(x: Tensor, factor: float) -> Tensor:
    """The same value, its gradient times ``factor``."""
    return x * factor + (x * (1 - factor)).detach()
