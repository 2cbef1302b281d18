"""Visual wake words (Chowdhery et al., 2019): pictures of 96x96 cut from COCO, with a person or without.

`data=` names a folder in MLPerf Tiny's layout (vw_coco2014_96): `person/*.jpg` and `non_person/*.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nnrules.error import UserError

Floats = NDArray[np.float32]
CLASSES = ("non_person", "person")
SIDE = 96
TEST_SHARE = 10  # of every so many pictures one is kept for the test
SHIFT = 5  # pixels


class PersonPictures:
    """Item: picture (3, 96, 96) float32 in 0..1, and whether there is a person (int64).

    A picture's name decides of which split it is. Those for training are mirrored and moved by up to SHIFT pixels,
    otherwise in every epoch.
    """

    input_quantization = (1 / 255, -128)
    metric_name = "top-1"

    def __init__(self, split: str, data: Path | None = None) -> None:
        if data is None:
            raise UserError("PersonPictures", "needs its pictures", "name their folder: data=PATH")
        self.training, self.epoch = split == "train", 0
        self.files: list[Path] = []
        labels = []
        for label, name in enumerate(CLASSES):
            found = [file for file in _pictures(Path(data) / name) if _for_test(file) != self.training]
            self.files += found
            labels += [label] * len(found)
        self.labels = np.array(labels, np.int64)

    def __len__(self) -> int:
        return len(self.files)

    def set_epoch(self, epoch: int) -> None:
        """Mirror and move otherwise from here on."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> tuple[Floats, np.int64]:
        picture = _read(self.files[index])
        if self.training:
            picture = _varied(picture, np.random.default_rng([self.epoch, index]))
        return picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255), self.labels[index]

    def metric(self, outputs: Sequence[Floats]) -> float:
        """Share of the first N pictures that the outputs (N, 2) tell right."""
        found = outputs[0].argmax(1)
        return float((found == self.labels[: len(found)]).mean())


def _pictures(folder: Path) -> list[Path]:
    """The pictures of a class, by name. Raises UserError where there are none."""
    files = sorted(folder.glob("*.jpg"))
    if not files:
        raise UserError(str(folder), "has no pictures", "lay them out as person/*.jpg and non_person/*.jpg")
    return files


def _for_test(file: Path) -> bool:
    return crc32(file.name.encode()) % TEST_SHARE == 0


def _read(file: Path) -> NDArray[np.uint8]:
    """(96, 96, 3). Raises UserError for what is no picture of that size."""
    try:
        with Image.open(file) as opened:
            picture = np.asarray(opened.convert("RGB"))
    except OSError:
        raise UserError(str(file), "is not a picture", "remove it") from None
    if picture.shape != (SIDE, SIDE, 3):
        fault = f"is {picture.shape[1]}x{picture.shape[0]}"
        raise UserError(str(file), fault, f"make all pictures {SIDE}x{SIDE}")
    return picture


def _varied(picture: NDArray[np.uint8], chance: np.random.Generator) -> NDArray[np.uint8]:
    """Mirrored or not, and moved; what was at the edge is continued."""
    padded = np.pad(picture, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
    down, right = chance.integers(0, 2 * SHIFT + 1, 2)
    moved = padded[down : down + SIDE, right : right + SIDE]
    return moved[:, ::-1] if chance.integers(2) else moved
