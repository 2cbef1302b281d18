"""A network that reads an image and a row of numbers, and gives an image and a class."""

import numpy as np
import torch
from torch import nn


class Blend(nn.Module):
    """The image, brightened as the numbers say, and a class of both."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Conv2d(2, 4, 3, padding=1)
        self.gate = nn.Linear(3, 4)
        self.head = nn.Linear(4, 5)

    def forward(self, image: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 2, 6, 5) and (N, 3) -> (N, 4, 6, 5) and (N, 5)."""
        gate = torch.sigmoid(self.gate(numbers)).reshape(-1, 4, 1, 1)
        image = torch.relu(self.stem(image)) * gate
        return image, self.head(image.mean((2, 3)))

    def loss(self, output: tuple[torch.Tensor, torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """Of the class alone."""
        return nn.functional.cross_entropy(output[1], target)


class Scenes:
    """Noise of two kinds."""

    metric_name = "mean"

    def __init__(self, split: str) -> None:
        self.split = split

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> tuple[tuple[np.ndarray, np.ndarray], int]:
        noise = np.random.default_rng(index)
        image, numbers = noise.normal(size=(2, 6, 5)), noise.normal(2, 3, 3)
        return (image.astype(np.float32), numbers.astype(np.float32)), index % 5

    def metric(self, outputs: list[np.ndarray]) -> float:
        """Of all outputs."""
        return float(sum(each.mean() for each in outputs))
