"""Lines that rise, fall, or stay."""

import numpy as np


class Slopes:
    """Item: 8 values of a line, float32; target 0, 1 or 2."""

    def __init__(self, split: str) -> None:
        self._first = 0 if split == "train" else 10_000
        self._length = 64 if split == "train" else 16

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.int64]:
        rng = np.random.default_rng(self._first + index)
        kind = np.int64(rng.integers(3))
        line = (kind - 1) * np.linspace(-1, 1, 8) + rng.normal(0, 0.1, 8)
        return line.astype(np.float32), kind
