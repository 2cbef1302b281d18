"""Pictures with a vertical bar."""

import numpy as np


class Bars:
    """Item: picture (1, 8, 8) in 0..1, target (2, 4, 4) of 0 and 1."""

    input_quantization = (1 / 255, -128)
    metric_name = "cells right"

    def __init__(self, split: str) -> None:
        self._first = 0 if split == "train" else 10_000
        self._length = 64 if split == "train" else 16

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(self._first + index)
        column, bright = int(rng.integers(4)), int(rng.integers(2))
        picture = np.full((1, 8, 8), 128, np.uint8) + rng.integers(-8, 8, (1, 8, 8)).astype(np.uint8)
        picture[:, :, 2 * column : 2 * column + 2] = 240 if bright else 10
        target = np.zeros((2, 4, 4), np.float32)
        target[bright, :, column] = 1
        return (picture / np.float32(255)).astype(np.float32), target

    def metric(self, outputs: list[np.ndarray]) -> float:
        """Share of the cells that are right."""
        wanted = np.stack([self[index][1] for index in range(len(outputs[0]))])
        return float(np.mean((outputs[0] > 0) == (wanted > 0)))
