"""DS-CNN (Zhang et al., "Hello Edge", 2017) as MLPerf Tiny has it for keyword spotting."""

from __future__ import annotations

from torch import Tensor, nn

WORDS, CHANNELS = 12, 64


def unit(convolution: nn.Module) -> nn.Sequential:
    """A convolution to CHANNELS, BatchNorm, ReLU."""
    return nn.Sequential(convolution, nn.BatchNorm2d(CHANNELS), nn.ReLU())


class KeywordSpotter(nn.Module):
    """(N, 1, 49, 10) cepstral coefficients -> (N, 12) probabilities, in training logits.

    TensorFlow pads the first layer with 4 rows above and 5 below.
    """

    input_shape = (1, 49, 10)

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((1, 1, 4, 5))
        self.stem = unit(nn.Conv2d(1, CHANNELS, (10, 4), stride=2, bias=False))
        self.first_dropout = nn.Dropout(0.2)
        blocks = []
        for _ in range(4):
            blocks += [unit(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=CHANNELS, bias=False))]
            blocks += [unit(nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False))]
        self.blocks = nn.Sequential(*blocks)
        self.last_dropout = nn.Dropout(0.4)
        self.pool = nn.AvgPool2d((25, 5))
        self.head = nn.Linear(CHANNELS, WORDS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first_dropout(self.stem(self.pad(x)))
        x = self.pool(self.last_dropout(self.blocks(x)))
        logits: Tensor = self.head(x.flatten(1))
        return logits if self.training else logits.softmax(1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the logits, the labels smoothed."""
        return nn.functional.cross_entropy(output, target, label_smoothing=0.1)
