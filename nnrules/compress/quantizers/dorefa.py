"""DoReFa (Zhou et al., DoReFa-Net, 2016, arXiv:1606.06160): weights through tanh onto odd levels, inputs clipped at 1.

w = 2 quant_k(tanh w / (2 max |tanh w|) + 1/2) - 1, so its codes are odd: -(2^k - 1), ..., -1, 1, ..., 2^k - 1. With one
bit w = sign(w) mean |w|.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.fake import InputQuantizer, WeightQuantizer, rounded

WEIGHT_BITS = (1, 2, 3, 4)
ACTIVATION_BITS = (2, 3, 4)
SIGNED_INPUTS = False


class Weights(WeightQuantizer):
    """The codes are the odd levels, or 1 and -1.

    The weights the paper gives lie in [-1, 1]; here they are times the largest there was at the start, which
    BatchNorm does not see and a layer without one needs.
    """

    largest: Tensor

    def __init__(self, weight: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.top = 2**bits - 1
        self.register_buffer("largest", weight.detach().abs().max().clamp(min=1e-8))

    def codes(self, weight: Tensor) -> Tensor:
        if self.top == 1:
            signs = torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype)
            return weight + (signs - weight).detach()
        bent = torch.tanh(weight)
        unit = bent / (2 * bent.abs().max().clamp(min=1e-8)) + 0.5
        return 2 * rounded(unit * self.top) - self.top

    def step(self, weight: Tensor) -> Tensor:
        if self.top == 1:
            return weight.abs().mean().detach()
        return self.largest / self.top


class Inputs(InputQuantizer):
    """Levels of [0, 1], here times the largest input of the start."""

    largest: Tensor

    def __init__(self, sample: Tensor, bits: int, options: QuantizeOptions) -> None:
        super().__init__()
        self.lo, self.hi = 0, 2**bits - 1
        self.register_buffer("largest", sample.max().clamp(min=1e-8))

    def scale(self) -> Tensor:
        return self.largest / self.hi
