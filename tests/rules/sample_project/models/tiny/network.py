"""A network small enough to train in no time."""

from layers import block
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Tiny(nn.Module):
    """(N, 1, 8, 8) -> (N, 2, 4, 4): per cell, is there a bright bar or a dark one."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(1, 4, stride=2)
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.stem(x)))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross entropy per cell."""
        return F.binary_cross_entropy_with_logits(output, target)
