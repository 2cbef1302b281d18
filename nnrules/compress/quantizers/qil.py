"""Quantization intervals that are learned: QIL (Jung, Son et al., CVPR 2019, arXiv:1808.05779).

With centre c and half-width d > 0: u = |w| / (2 d) + 1/2 - c / (2 d). Weights become 0 where |w| < c - d (pruned),
sign(w) where |w| > c + d (clipped), sign(w) u^g between; inputs clip(u, 0, 1) with x for |w| and g = 1. Then round(v q)
/ q with q = 2^(bits - 1) - 1 for weights, 2^bits - 1 for inputs. There is no way back: BatchNorm takes up the scale.

An interval starts at 0 and ends where rounding has the least squared error: one that ends at the largest value leaves
two bits little but zeros, and a few epochs do not mend that. So that layers without BatchNorm, and its averages, fit
from the start, both are times that end; inputs that may be below zero, which the paper does not have, keep the level of
zero that they had at first. An interval of inputs without these never begins below 0: what a Relu made zero, most of
them, would all at once be 1 where the line crosses half a level, which no gradient shows. c and d are learned in parts
of the first interval: one learning rate suits all.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import InputQuantizer, WeightQuantizer, closest_step, level_range, rounded, thinned

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ("progressive_epochs",)
PROGRESSIVE = 5  # bits at which training begins; it goes down by one
LEAST = 1e-6


class _Interval(nn.Module):
    """c and d of some intervals, in parts of their sizes at the start, and these sizes: all of the shape (count)."""

    size: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("size", high - low)
        self.centre = nn.Parameter((high + low) / (2 * self.size))
        self.half_width = nn.Parameter(torch.full_like(self.size, 0.5))

    def line(self, least: float | None = None) -> tuple[Tensor, Tensor]:
        """Slope and offset of u, of values in parts of the size; ``least``: where it may begin."""
        half = self.half_width.clamp(min=LEAST)
        low, high = self.centre - half, self.centre + half
        low = low if least is None else low.clamp(min=least)
        span = (high - low).clamp(min=2 * LEAST)
        return 1 / span, -low / span


class Weights(WeightQuantizer):
    """One interval and one exponent for all channels, as in the paper, or for each (``per_channel``)."""

    def __init__(self, weight: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.shape = (-1, *[1] * (weight.ndim - 1))
        self.start = weight.detach().abs().reshape(len(weight) if options.per_channel else 1, -1)
        self.top = 2 ** (bits - 1) - 1
        size = self._size()
        self.interval = _Interval(torch.zeros_like(size), size)
        self.exponent = nn.Parameter(torch.ones_like(size))

    def _size(self) -> Tensor:
        return closest_step(self.start, 0, self.top) * self.top

    @torch.no_grad()
    def set_bits(self, bits: int) -> None:
        """Another width: the interval changes as its start would."""
        before = self._size()
        self.top = 2 ** (bits - 1) - 1
        self.interval.size *= (self._size() / before).to(self.interval.size)

    def codes(self, weight: Tensor) -> Tensor:
        slope, offset = (each.reshape(self.shape) for each in self.interval.line())
        u = slope * (weight.abs() / self.interval.size.reshape(self.shape)) + offset
        inside = u.clamp(min=LEAST, max=1.0) ** self.exponent.clamp(min=LEAST).reshape(self.shape)
        bent = torch.where(u <= 0, torch.zeros_like(u), torch.where(u >= 1, torch.ones_like(u), inside))
        return rounded(weight.sign() * bent * self.top)

    def step(self, weight: Tensor) -> Tensor:
        return (self.interval.size / self.top).reshape(self.shape)


class Inputs(InputQuantizer):
    """clip(u, 0, 1), from the lowest level on: that is 0, or where there are inputs below zero a level below."""

    def __init__(self, sample: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.symmetric, self.start = options.symmetric, thinned(sample)
        self.lo, self.hi = level_range(self.start, bits, self.symmetric)
        size, middle = self._size(), self._middle()
        self.interval = _Interval(size * (middle - 0.5), size * (middle + 0.5))

    @torch.no_grad()
    def set_bits(self, bits: int) -> None:
        """Another width: the interval changes as its start would."""
        size, middle = self._size(), self._middle()
        self.lo, self.hi = level_range(self.start, bits, self.symmetric)
        self.interval.size *= (self._size() / size).to(self.interval.size)
        self.interval.centre.add_(self._middle() - middle)

    def _size(self) -> Tensor:
        return closest_step(self.start, self.lo, self.hi)[0] * (self.hi - self.lo)

    def _middle(self) -> float:
        """Of the levels, in parts of what they span."""
        return (self.hi + self.lo) / (self.hi - self.lo) / 2

    def scale(self) -> Tensor:
        return self.interval.size / (self.hi - self.lo)

    def line(self) -> tuple[Tensor | float, Tensor | float]:
        slope, offset = self.interval.line(0.0 if self.lo == 0 else None)
        return slope, offset * self.interval.size + self.lo * self.scale()
