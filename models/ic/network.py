"""ResNet8 (He et al., 2016, with three stacks of one block) as MLPerf Tiny has it for image classification."""

from __future__ import annotations

from torch import Tensor, nn

CLASSES = 10


class ConvUnit(nn.Module):
    """Convolution and BatchNorm. At stride 2 TensorFlow pads even sizes below and on the right alone."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 and kernel == 3 else nn.Identity()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.conv(self.pad(x)))
        return out


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution of stride 2 where the size is halved."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvUnit(inputs, outputs, 3, stride)
        self.second = ConvUnit(outputs, outputs, 3)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.second(self.first(x).relu())
        out: Tensor = (self.shortcut(x) + inner).relu()
        return out


class ResNet8(nn.Module):
    """(N, 3, 32, 32) in 0..1 -> (N, 10) probabilities, in training logits."""

    input_shape = (3, 32, 32)
    input_range = (0.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvUnit(3, 16, 3)
        self.stacks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.pool = nn.AvgPool2d(8)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stacks(self.stem(x).relu()))
        logits: Tensor = self.head(x.flatten(1))
        return logits if self.training else logits.softmax(1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the logits."""
        return nn.functional.cross_entropy(output, target)
