"""The dense autoencoder of DCASE 2020, task 2 (Koizumi et al.), as MLPerf Tiny has it for anomaly detection."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

FRAMES, BANDS = 5, 128
HIDDEN = [128, 128, 128, 128, 8, 128, 128, 128, 128]


class AutoEncoder(nn.Module):
    """(N, 640) five frames of 128 log-mel energies -> (N, 640) the same, as far as it knows machines that are well."""

    input_shape = (FRAMES * BANDS,)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([FRAMES * BANDS, *HIDDEN]):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(HIDDEN[-1], FRAMES * BANDS)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layers(x))
        return out

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Mean squared error."""
        return nn.functional.mse_loss(output, target)
