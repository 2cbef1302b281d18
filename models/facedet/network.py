"""FaceDet: a small raster-scanning face detector for 96x96 grey pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own custom

GRID, CELL, BASE_SIZE = 12, 8, 32


class ConvUnit(nn.Module):
    """Convolution, BatchNorm, and ReLU unless ``linear``; the size is divided by the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, linear: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x))
        return x if self.linear else F.relu(x)


class FaceDet(nn.Module):
    """(N, 1, 96, 96) in 0..1 -> (N, 5, 12, 12): score logit; centre offset x y, width - 32, height - 32 in 8 pixels.

    Rows stream: what a 3x3 window looks back on is two rows of its input, so the inputs of windows are narrow. The wide
    layers, which hold most of the weights, are there for one row at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvUnit(1, 4, 3, stride=2)
        self.down1 = ConvUnit(4, 12, 3, stride=2)
        self.down2 = ConvUnit(12, 64, 3, stride=2)
        self.narrow1 = ConvUnit(64, 16, 1, linear=True)
        self.body1 = ConvUnit(16, 64, 3)
        self.narrow2 = ConvUnit(64, 16, 1, linear=True)
        self.body2 = ConvUnit(16, 64, 3)
        self.head = nn.Conv2d(64, 5, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        assert self.head.bias is not None
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([-3.0, 0.0, 0.0, 0.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow1(self.down2(self.down1(self.stem(x))))
        out: Tensor = self.head(self.body2(self.narrow2(self.body1(x))))
        return out

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Focal loss (Lin et al., ICCV 2017) of the scores, and 1 - GIoU (Rezatofighi et al., CVPR 2019)."""
        wanted = target[:, 0]
        positive = wanted > 0
        count = positive.sum().clamp(min=1)
        logit = output[:, 0]
        error = torch.where(positive, 1 - logit.sigmoid(), logit.sigmoid())
        entropy = F.binary_cross_entropy_with_logits(logit, wanted.clamp(min=0), reduction="none")
        score = (error**2 * entropy * (wanted >= 0)).sum() / count
        boxes = edges(output).permute(0, 2, 3, 1)[positive]
        truth = target[:, 1:].permute(0, 2, 3, 1)[positive]
        return score + (1 - overlap(boxes, truth)).sum() / count


def edges(output: Tensor) -> Tensor:
    """(N, 4, 12, 12) left top right bottom in pixels of the network's output."""
    centre = (torch.arange(GRID, dtype=output.dtype, device=output.device) + 0.5) * CELL
    x, y = output[:, 1] * CELL + centre, output[:, 2] * CELL + centre[:, None]
    half = ((output[:, 3:] * CELL + BASE_SIZE) / 2).clamp(min=1)
    return torch.stack([x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]], dim=1)


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """Generalised intersection over union of the boxes (n, 4), pair by pair: -1..1."""
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    joint = (first[:, 2:] - first[:, :2]).prod(dim=1) + (second[:, 2:] - second[:, :2]).prod(dim=1) - shared
    outer = torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])
    hull = outer.prod(dim=1)
    return shared / joint - (hull - joint) / hull
