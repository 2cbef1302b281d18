"""Scenes with faces for training and testing FaceDet: composed ones, or a folder of the user's own pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from decode import CELL, FLOAT_SCALE, GRID, STEPS, Face, decode, decode_float
from folder import read_folder
from numpy.typing import NDArray
from picture import draw
from precision import average_precision
from scenes import LARGEST, SIDE, SMALLEST, Boxes, Split, compose, load_sources

Floats = NDArray[np.float32]
LOWEST_LOGIT = -5.0  # detections weaker than this do not count in the metric
MOST_FACES = 32
MOST_SHOWN = 8  # as in main.c


class FaceScenes:
    """96x96 grey pictures and, per 8x8 cell, whether a face is there and where.

    Item: picture (1, 96, 96) float32 in 0..1 in steps of 1/255; target (5, 12, 12) float32: channel 0 is 1 in a face's
    middle, 0 elsewhere and -1 where either would be unfair; channels 1..4 hold the face's left top right bottom in
    pixels. The training split differs from epoch to epoch and depends on nothing but (seed, epoch, index); the test
    split is fixed. With `data` the pictures come from a folder in WIDER FACE's layout.
    """

    input_quantization = (1 / 255, -128)
    metric_name = "AP@0.4"

    def __init__(self, split: Split, data: Path | None = None, length: int | None = None, seed: int = 0) -> None:
        self.split = split
        self.seed = seed
        self.epoch = 0
        self._pictures = read_folder(Path(data), split) if data else None
        self._sources = None if data else load_sources(split)
        composed = length or (3000 if split == "train" else 500)
        self._length = composed if self._pictures is None else len(self._pictures)

    def __len__(self) -> int:
        return self._length

    def set_epoch(self, epoch: int) -> None:
        """Compose other training scenes from here on."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        picture, boxes = self.scene(index)
        return picture[None], grid_target(boxes)

    def scene(self, index: int) -> tuple[Floats, Boxes]:
        """Picture (96, 96) and the boxes of its faces (n, 4). Every fifth composed test scene has no face."""
        if not 0 <= index < self._length:
            raise IndexError(f"scene {index} of {self._length}")
        training = self.split == "train"
        rng = np.random.default_rng([self.seed, self.epoch, index] if training else [2026, index])
        if self._pictures is not None:
            return self._pictures[index].scene(rng, SIDE, (SMALLEST, LARGEST))
        assert self._sources is not None
        empty = not training and index % 5 == 4
        faces = 0 if empty else int(rng.integers(0 if training else 1, 4))
        others = int(rng.integers(1, 3) if empty else rng.integers(0, 3 if training else 2))
        return compose(self._sources, rng, faces, others, augment=training)

    def metric(self, outputs: Sequence[Floats]) -> float:
        """Average precision at IoU 0.4 of the network's output (N, 5, 12, 12) for the first N scenes."""
        found = [_as_rows(decode_float(output, LOWEST_LOGIT, MOST_FACES)) for output in outputs[0]]
        return average_precision(found, [self.scene(index)[1] for index in range(len(found))], 0.4)

    def picture(
        self,
        index: int,
        outputs: Sequence[NDArray[np.int8]],
        steps: Sequence[tuple[float, int]],
        console: str,
        path: Path,
    ) -> None:
        """Draw scene `index` with the faces of the integer output (5, 12, 12) and those the firmware printed."""
        scale, zero_point = steps[0]
        draw(self.scene(index)[0], decode(outputs[0], scale, zero_point, 0, MOST_SHOWN), console, path)


def _as_rows(faces: list[Face]) -> Floats:
    """(n, 5) left top right bottom in pixels, and the logit."""
    rows = [
        (face.left / STEPS, face.top / STEPS, face.right / STEPS, face.bottom / STEPS, face.score * FLOAT_SCALE)
        for face in faces
    ]
    return np.array(rows, np.float32).reshape(-1, 5)


def grid_target(boxes: Boxes) -> Floats:
    """(5, 12, 12) training target of the boxes (n, 4); where faces meet, the nearer middle wins."""
    target = np.zeros((5, GRID, GRID), np.float32)
    centres = (np.arange(GRID, dtype=np.float32) + 0.5) * CELL
    nearest = np.full((GRID, GRID), np.inf, np.float32)
    for left, top, right, bottom in boxes:
        size = (right - left + bottom - top) / 2
        off = np.maximum(abs(centres[None, :] - (left + right) / 2), abs(centres[:, None] - (top + bottom) / 2))
        target[0][(off <= max(0.35 * size, 6.0)) & (target[0] == 0)] = -1
        mine = (off <= max(0.18 * size, CELL / 2)) & (off < nearest)
        target[0][mine] = 1
        target[1:, mine] = np.array([left, top, right, bottom], np.float32)[:, None]
        nearest[mine] = off[mine]
    return target
