"""A network without convolutions."""

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class Dense(nn.Module):
    """(N, 8) -> (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.hidden(x)))

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross entropy."""
        return F.cross_entropy(output, target)
