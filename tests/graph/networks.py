"""Small networks in the manner of well known ones, one for each family of operators."""

import torch
from torch import nn
from torch.nn import functional

IMAGE, SIGNAL = (3, 12, 12), (3, 20)


class Gate(nn.Module):
    """Squeeze and excite (Hu et al., 2017, arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.small, self.large = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * functional.hardsigmoid(self.large(functional.relu(self.small(functional.adaptive_avg_pool2d(x, 1)))))


class Mobile(nn.Module):
    """MobileNetV3 (Howard et al., 2019, arXiv:1905.02244)."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        stem = [nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()]
        block = [nn.Conv2d(8, 8, 5, 1, 2, groups=8), nn.BatchNorm2d(8), Gate(8), nn.Hardswish(), nn.Conv2d(8, 16, 1)]
        self.layers, self.head = nn.Sequential(*stem, *block), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layers(x).mean((2, 3)))


class Segments(nn.Module):
    """U-Net (Ronneberger et al., 2015, arXiv:1505.04597) with a class for each pixel."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.up, self.head = nn.ConvTranspose2d(16, 8, 2, 2), nn.Conv2d(16, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = functional.leaky_relu(self.fine(x), 0.1)
        coarse = functional.elu(self.coarse(functional.max_pool2d(fine, 2)))
        return torch.argmax(self.head(torch.cat([fine, self.up(coarse)], 1)), 1)


class Shuffle(nn.Module):
    """ShuffleNetV2 (Ma et al., 2018, arXiv:1807.11164)."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 8, 1), nn.Conv2d(4, 4, 1, groups=2)
        self.deep, self.back = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1, groups=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, other = self.stem(x).chunk(2, 1)
        other = functional.relu(self.back(self.deep(functional.relu(self.wide(other)))))
        _, channels, height, width = (both := torch.cat([kept, other], 1)).shape
        return both.view(-1, 2, channels // 2, height, width).transpose(1, 2).reshape(-1, channels, height, width)


class Sharper(nn.Module):
    """Sub-pixel super-resolution (Shi et al., 2016, arXiv:1609.05158)."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")
        self.second, self.slopes, self.shuffle = nn.Conv2d(8, 12, 3, padding=1), nn.PReLU(8), nn.PixelShuffle(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
        return self.shuffle(self.second(self.slopes(self.first(x)))) + large


class Sounds(nn.Module):
    """Dilated convolutions on a signal (Bai et al., 2018, arXiv:1803.01271)."""

    shape = SIGNAL

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 8, 3, padding=2, dilation=2), nn.Conv1d(8, 8, 5, stride=2)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.norm(self.second(torch.tanh(self.first(x)))))
        return self.head(functional.avg_pool1d(x, 2).mean(-1))


class Mixer(nn.Module):
    """MLP-Mixer (Tolstikhin et al., 2021, arXiv:2105.01601)."""

    shape = IMAGE

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.tokens, self.channels = nn.Conv2d(3, 8, 4, 4), nn.Linear(9, 9), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2)
        x = (x + functional.gelu(self.tokens(x))).transpose(1, 2)
        return self.head((x + functional.relu6(self.channels(x)))[:, 0])


class Attention(nn.Module):
    """Self-attention of two heads (Vaswani et al., 2017, arXiv:1706.03762), without its normalization."""

    shape = (6, 8)

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.mixed, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.queries(x).reshape(-1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        seen = torch.softmax(query @ key.transpose(-2, -1) * 0.5, -1) @ value
        return self.head(functional.gelu(self.mixed(seen.transpose(1, 2).reshape(-1, 6, 8)) + x).mean(1))


NETWORKS = [Mobile, Segments, Shuffle, Sharper, Sounds, Mixer, Attention]
