"""MobileNetV1 (Howard et al., 2017) of width 0.25 as MLPerf Tiny has it for visual wake words."""

from __future__ import annotations

from torch import Tensor, nn

BLOCKS = [  # output channels, stride
    (16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2),
    (128, 1), (128, 1), (128, 1), (128, 1), (128, 1), (256, 2), (256, 1),
]  # fmt: skip


class ConvUnit(nn.Module):
    """Convolution, BatchNorm, ReLU. At stride 2 TensorFlow pads even sizes below and on the right alone."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if stride == 2 else nn.Identity()
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.norm(self.conv(self.pad(x))))


class PersonDetector(nn.Module):
    """(N, 3, 96, 96) in 0..1 -> (N, 2) probabilities of no person and a person, in training logits."""

    input_shape = (3, 96, 96)
    input_range = (0.0, 1.0)

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvUnit(3, 8, 3, stride=2)
        layers, channels = [], 8
        for outputs, stride in BLOCKS:
            layers += [ConvUnit(channels, channels, 3, stride, channels), ConvUnit(channels, outputs, 1)]
            channels = outputs
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AvgPool2d(3)
        self.head = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.layers(self.stem(x)))
        logits: Tensor = self.head(x.flatten(1))
        return logits if self.training else logits.softmax(1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the logits."""
        return nn.functional.cross_entropy(output, target)
