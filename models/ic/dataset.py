"""CIFAR-10 (Krizhevsky, 2009), from the folder of its binary version: `data=cifar-10-batches-bin`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError

Floats = NDArray[np.float32]
FILES = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32  # bytes: the class, then red, green and blue
CLASSES = 10
SHIFT = 4  # pixels


class Cifar10:
    """Item: picture (3, 32, 32) float32 in 0..1, and its class 0..9 (int64).

    Training pictures are mirrored and moved by up to SHIFT pixels, otherwise in every epoch.
    """

    input_quantization = (1 / 255, -128)
    metric_name = "top-1"

    def __init__(self, split: str, data: Path | None = None) -> None:
        if data is None:
            raise UserError("Cifar10", "needs its pictures", "name the folder of the binary version: data=PATH")
        records = np.concatenate([_read(Path(data) / name) for name in FILES[split]])
        self.labels = records[:, 0].astype(np.int64)
        self.pictures = records[:, 1:].reshape(-1, *SHAPE)
        self.training, self.epoch = split == "train", 0

    def __len__(self) -> int:
        return len(self.labels)

    def set_epoch(self, epoch: int) -> None:
        """Mirror and move otherwise from here on."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> tuple[Floats, np.int64]:
        picture = self.pictures[index]
        if self.training:
            picture = _varied(picture, np.random.default_rng([self.epoch, index]))
        return picture.astype(np.float32) / np.float32(255), self.labels[index]

    def metric(self, outputs: Sequence[Floats]) -> float:
        """Share of the first N pictures whose class has the largest output (N, 10)."""
        found = outputs[0].argmax(1)
        return float((found == self.labels[: len(found)]).mean())


def _read(file: Path) -> NDArray[np.uint8]:
    """The records (n, RECORD) of a file. Raises UserError where it is not there or not in that format."""
    if not file.is_file():
        raise UserError(str(file), "there is no such file", "unpack cifar-10-binary.tar.gz and name its folder")
    content = np.frombuffer(file.read_bytes(), np.uint8)
    if content.size == 0 or content.size % RECORD:
        fault = f"has {content.size:,} bytes, which is no number of pictures of {RECORD:,}"
        raise UserError(str(file), fault, "take the binary version")
    records = content.reshape(-1, RECORD)
    if records[:, 0].max() >= CLASSES:
        raise UserError(str(file), f"has a class {records[:, 0].max()}", "take the binary version of CIFAR-10")
    return records


def _varied(picture: NDArray[np.uint8], chance: np.random.Generator) -> NDArray[np.uint8]:
    """Mirrored or not, and moved; black comes in at the edges."""
    padded = np.pad(picture, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)))
    down, right = chance.integers(0, 2 * SHIFT + 1, 2)
    moved = padded[:, down : down + SHAPE[1], right : right + SHAPE[2]]
    return moved[:, :, ::-1] if chance.integers(2) else moved
