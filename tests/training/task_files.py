"""A small task for the training stages: which half of an 8x8 picture is the brighter one."""

import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn


class Halves:
    """Item i depends on (split, epoch, i) only; PAUSE seconds each."""

    metric_name = "accuracy"
    input_quantization = (1 / 255, -128)
    PAUSE = 0.0

    def __init__(self, split, data=None, length=64):
        self.split, self.length, self.epoch = split, length, 0

    def __len__(self):
        return self.length

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __getitem__(self, index):
        time.sleep(self.PAUSE)
        rng = np.random.default_rng([self.split == "test", self.epoch, index])
        picture = rng.integers(0, 256, (1, 8, 8)).astype(np.float32) / 255
        picture[:, :, 4 * (index % 2) : 4 * (index % 2) + 4] *= 0.5
        return picture, np.float32(index % 2)

    def metric(self, outputs):
        right = (outputs[0].reshape(-1) > 0) == (np.arange(len(outputs[0])) % 2 == 1)
        return float(right.mean())


class OddHalves(Halves):
    """A last batch of three."""

    def __init__(self, split, data=None):
        super().__init__(split, data, length=51)


class SlowHalves(Halves):
    PAUSE = 0.01


class SlowOddHalves(OddHalves):
    PAUSE = 0.02


class Stopping(Halves):
    """Interrupts after as many items as HALVES_STOP says."""

    def __init__(self, split, data=None):
        super().__init__(split, data, length=40)

    def __getitem__(self, index):
        left = int(os.environ.get("HALVES_STOP", "-1"))
        if left == 0:
            raise KeyboardInterrupt
        os.environ["HALVES_STOP"] = str(left - 1)
        return super().__getitem__(index)


class Poisoned(Halves):
    def __getitem__(self, index):
        picture, target = super().__getitem__(index)
        return picture * np.float32(np.nan if self.split == "train" else 1), target


class Damaged(Halves):
    def __getitem__(self, index):
        if index == 7:
            raise ValueError("item 7 is damaged")
        return super().__getitem__(index)


class Residual(nn.Module):
    """Convolution, depthwise, a residual addition, BatchNorm throughout, a Linear at the end."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(12, 12, 3, 1, 1, groups=12), nn.BatchNorm2d(12), nn.ReLU())
        self.pointwise = nn.Sequential(nn.Conv2d(12, 12, 1), nn.BatchNorm2d(12))
        self.head = nn.Linear(12 * 16, 1)

    def forward(self, x):
        x = self.stem(x)
        x = torch.relu(x + self.pointwise(self.depthwise(x)))
        return self.head(torch.flatten(x, 1))

    def loss(self, output, target):
        return nn.functional.binary_cross_entropy_with_logits(output[:, 0], target)


class Plain(nn.Module):
    """Without BatchNorm, whose statistics are those of a process's own part."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 6, 3), nn.Linear(6 * 36, 1)

    def forward(self, x):
        return self.head(torch.flatten(torch.relu(self.stem(x)), 1))

    def loss(self, output, target):
        return nn.functional.binary_cross_entropy_with_logits(output[:, 0], target)


class Watching(Plain):
    """Keeps something of what its own process has seen, like BatchNorm; nothing depends on it. Of its parameters one
    has a part in the loss alone, and one in nothing."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))
        self.doubt, self.spare = nn.Parameter(torch.zeros(())), nn.Parameter(torch.ones(2, 2))

    def loss(self, output, target):
        return super().loss(output, target) * torch.exp(-self.doubt) + 0.5 * self.doubt

    def forward(self, x):
        if self.training:
            self.seen.mul_(0.9).add_(0.1 * x.mean().detach())
        return super().forward(x)


class Wide(nn.Module):
    """Three convolutions, whose width may be chosen."""

    def __init__(self, width=8):
        super().__init__()
        if width > 100:
            raise ValueError("too wide")
        self.stem, self.body = nn.Conv2d(1, width, 3, 2, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.head = nn.Linear(width * 16, 1)

    def forward(self, x):
        x = torch.relu(self.body(torch.relu(self.stem(x))))
        return self.head(torch.flatten(x, 1))

    def loss(self, output, target):
        return nn.functional.binary_cross_entropy_with_logits(output[:, 0], target)


class Sociable(Wide):
    """Learns once another one does, too."""

    def forward(self, x):
        Path(f"sociable-{os.getpid()}.mark").touch()
        end = time.monotonic() + 30
        while self.training and len(list(Path().glob("sociable-*.mark"))) < 2:
            if time.monotonic() > end:
                raise ValueError("alone")
            time.sleep(0.01)
        return super().forward(x)


class Mortal(Wide):
    """The first one that learns is killed."""

    def forward(self, x):
        mark = Path("killed.mark")
        if self.training and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), 9)
        return super().forward(x)


class Raising(Residual):
    def forward(self, x):
        raise ValueError("no such thing")


class Branching(Residual):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x


class Lossless(nn.Module):
    pass
