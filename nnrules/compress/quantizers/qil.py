"""Quantization intervals that are learned: QIL (Jung, Son et al., CVPR 2019, arXiv:1808.05779).

With centre c and half-width d > 0: u = |w| / (2 d) + 1/2 - c / (2 d). Weights become 0 where |w| < c - d (pruned),
sign(w) where |w| > c + d (clipped), sign(w) u^g between; inputs clip(u, 0, 1) with x for |w| and g = 1. Then round(v q)
/ q with q = 2^(bits - 1) - 1 for weights, 2^bits - 1 for inputs. There is no way back: BatchNorm takes up the scale. So
that layers without one, and BatchNorm's averages, fit from the start, both are times the largest value there was at
first; inputs that may be below zero, which the paper does not have, keep the level of zero that they had at first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import InputQuantizer, WeightQuantizer, by_channel, level_range, rounded

WEIGHT_BITS = ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ()
PROGRESSIVE = 5  # bits at which training begins; it goes down by one
LEAST = 1e-6


class _Interval(nn.Module):
    """c, d, and the size of the interval of the start."""

    size: Tensor

    def __init__(self, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.register_buffer("size", (high - low).detach().clamp(min=LEAST))
        self.centre = nn.Parameter(((high + low) / 2).detach().clone())
        self.half_width = nn.Parameter(self.size / 2)

    def line(self) -> tuple[Tensor, Tensor]:
        """Slope and offset of u."""
        half = self.half_width.clamp(min=LEAST)
        return 0.5 / half, 0.5 - 0.5 * self.centre / half


class Weights(WeightQuantizer):
    """One interval and one exponent for all channels, as in the paper, or for each (``per_channel``)."""

    def __init__(self, weight: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        axes = by_channel(weight) if options.per_channel else list(range(weight.ndim))
        largest = weight.detach().abs().amax(axes, keepdim=bool(options.per_channel)).clamp(min=LEAST)
        self.interval = _Interval(torch.zeros_like(largest), largest)
        self.exponent = nn.Parameter(torch.ones_like(largest))
        self.set_bits(bits)

    def set_bits(self, bits: int) -> None:
        """Another width, the same interval."""
        self.top = 2 ** (bits - 1) - 1

    def codes(self, weight: Tensor) -> Tensor:
        slope, offset = self.interval.line()
        u = slope * weight.abs() + offset
        inside = u.clamp(min=LEAST, max=1.0) ** self.exponent
        bent = torch.where(u <= 0, torch.zeros_like(u), torch.where(u >= 1, torch.ones_like(u), inside))
        return rounded(weight.sign() * bent * self.top)

    def step(self, weight: Tensor) -> Tensor:
        return self.interval.size / self.top


class Inputs(InputQuantizer):
    """clip(u, 0, 1), from the lowest level on: that is 0, or where there are inputs below zero a level below."""

    def __init__(self, sample: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.symmetric, self.sample = options.symmetric, torch.stack([sample.min(), sample.max()]).detach()
        low, high = self.sample.clamp(max=0)[0], self.sample[1]
        if options.symmetric and low < 0:
            high = torch.maximum(high, -low)
            low = -high
        self.interval = _Interval(low, high)
        self.set_bits(bits)

    def set_bits(self, bits: int) -> None:
        """Another width, the same interval."""
        self.lo, self.hi = level_range(self.sample, bits, self.symmetric)

    def scale(self) -> Tensor:
        return self.interval.size / (self.hi - self.lo)

    def line(self) -> tuple[Tensor | float, Tensor | float]:
        slope, offset = self.interval.line()
        return slope * self.interval.size, offset * self.interval.size + self.lo * self.scale()
