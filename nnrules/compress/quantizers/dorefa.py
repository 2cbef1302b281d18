"""DoReFa (Zhou et al., DoReFa-Net, 2016, arXiv:1606.06160): weights through tanh onto odd levels, inputs clipped at 1.

w = 2 quant_k(tanh w / (2 max |tanh w|) + 1/2) - 1, so its codes are odd: -(2^k - 1), ..., -1, 1, ..., 2^k - 1. With one
bit w = sign(w) mean |w|, whose gradient is that of w; the mean is of the weights that were not pruned.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import (
    InputQuantizer,
    WeightQuantizer,
    by_channel,
    closest_step,
    level_range,
    rounded,
    thinned,
)

WEIGHT_BITS = (1, 2, 3, 4, 8)
ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ()
LEAST = 1e-8


class Weights(WeightQuantizer):
    """The codes are the odd levels, or 1 and -1; with eight bits, where odd ones would not fit into int8, -127 to 127.

    The weights the paper gives lie in [-1, 1]; here they are times the largest there was at the start, which
    BatchNorm does not see and a layer without one needs. Of all weights of a layer, or of each channel
    (``per_channel``).
    """

    largest: Tensor

    def __init__(self, weight: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.odd, self.top = bits < 8, 2**bits - 1 if bits < 8 else 127
        self.axes = by_channel(weight) if options.per_channel else list(range(weight.ndim))
        self.register_buffer("largest", self._most(weight.detach()))

    def _most(self, weight: Tensor) -> Tensor:
        return weight.abs().amax(self.axes, keepdim=True).clamp(min=LEAST)

    def codes(self, weight: Tensor) -> Tensor:
        if self.top == 1:
            signs = torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)
            straight = weight / self.step(weight)
            return straight + (signs - straight).detach()
        bent = torch.tanh(weight)
        unit = bent / self._most(bent)
        return 2 * rounded((unit + 1) / 2 * self.top) - self.top if self.odd else rounded(unit * self.top)

    def step(self, weight: Tensor) -> Tensor:
        if self.top == 1:
            left = (weight != 0).sum(self.axes, keepdim=True).clamp(min=1)
            return (weight.abs().sum(self.axes, keepdim=True) / left).detach().clamp(min=LEAST)
        return self.largest / self.top


class Inputs(InputQuantizer):
    """Levels of [0, 1], here times where those of the start's inputs end that are nearest to these; of [-low, 1] where
    there are some below zero.

    In the paper BatchNorm gives inputs to which 1 is about their deviation. An end at the largest of them would leave
    two bits little but zeros, and it is not learned."""

    largest: Tensor

    def __init__(self, sample: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.lo, self.hi = level_range(sample, bits, options.symmetric)
        self.register_buffer("largest", closest_step(thinned(sample), self.lo, self.hi)[0] * self.hi)

    def scale(self) -> Tensor:
        return self.largest / self.hi
