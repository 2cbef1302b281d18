"""The user's own pictures with boxes, in WIDER FACE's layout (Yang et al., CVPR 2016).

    wider_face_split/wider_face_train_bbx_gt.txt   per picture: its name, the number of faces, then a line for each
    WIDER_train/images/<event>/<name>.jpg          face (x y width height blur expression illumination invalid ...)

and the same with `val` for the test split. A picture without faces has the number 0 and one line of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nnrules.error import UserError

Floats = NDArray[np.float32]
_INVALID = 3  # place of this flag among those after a face's box
_SMALLEST_LABELLED = 10.0  # pixels in the scene; what is smaller counts as background


@dataclass(frozen=True)
class Photograph:
    """A picture file and its faces (n, 4), left top right bottom in the file's pixels."""

    path: Path
    boxes: Floats

    def scene(self, rng: np.random.Generator, side: int, sizes: tuple[float, float]) -> tuple[Floats, Floats]:
        """A square window as a grey (side, side) picture in 0..1 with its boxes.

        A face drawn by lot appears whole, between `sizes` pixels large; black fills what lies outside the picture.
        """
        with Image.open(self.path) as file:
            grey = file.convert("L")
        left, top, scale = self._window(rng, grey.size, side, sizes)
        right, bottom = left + round(side / scale), top + round(side / scale)
        small = grey.crop((left, top, right, bottom)).resize((side, side), Image.Resampling.BILINEAR)
        boxes = (self.boxes - np.array([left, top, left, top], np.float32)) * np.float32(scale)
        middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
        seen = ((middle > 0) & (middle < side)).all(axis=1) & (size >= _SMALLEST_LABELLED)
        picture = np.asarray(np.asarray(small, np.float32) / 255, np.float32)
        return picture, np.clip(boxes[seen], 0, side, dtype=np.float32)

    def _window(
        self, rng: np.random.Generator, picture: tuple[int, int], side: int, sizes: tuple[float, float]
    ) -> tuple[int, int, float]:
        """Left, top and scale (scene pixels per picture pixel) of the window."""
        if len(self.boxes) == 0:
            span = min(picture) * rng.uniform(0.3, 1.0)
            left, top = (rng.uniform(0, length - span) for length in picture)
            return int(left), int(top), side / span
        box = self.boxes[rng.integers(len(self.boxes))]
        extent = float(max(box[2] - box[0], box[3] - box[1]))
        scale = float(np.exp(rng.uniform(*np.log(sizes)))) / extent
        span = side / scale
        left, top = (box[axis + 2] - span + rng.random() * (span - (box[axis + 2] - box[axis])) for axis in (0, 1))
        return int(np.floor(left)), int(np.floor(top)), scale


def read_folder(folder: Path, split: str) -> list[Photograph]:
    """The photographs of one split. Raises UserError naming the file or line that is not as the layout says."""
    part = "train" if split == "train" else "val"
    list_file = folder / "wider_face_split" / f"wider_face_{part}_bbx_gt.txt"
    if not list_file.is_file():
        raise UserError(str(list_file), "there is no such file", "lay the pictures out like WIDER FACE")
    lines = list_file.read_text(encoding="utf-8").splitlines()
    photographs, at = [], 0
    while at < len(lines):
        path = folder / f"WIDER_{part}" / "images" / lines[at].strip()
        if not path.is_file():
            raise UserError(f"{list_file}:{at + 1}", f"there is no picture {path}", "add it or remove its lines")
        photograph, at = _read_photograph(path, list_file, lines, at + 1)
        photographs.append(photograph)
    return photographs


def _read_photograph(path: Path, list_file: Path, lines: list[str], at: int) -> tuple[Photograph, int]:
    """The photograph whose number of faces stands in line `at`, and the line after its last."""
    boxes = []
    try:
        last = at + max(int(lines[at]), 1)
        while at < last:
            at += 1
            x, y, width, height, *flags = (int(word) for word in lines[at].split())
            invalid = len(flags) > _INVALID and flags[_INVALID] == 1
            if width > 0 and height > 0 and not invalid:
                boxes.append((x, y, x + width, y + height))
    except (ValueError, IndexError):
        fault = "is not a line of WIDER FACE's list"
        raise UserError(f"{list_file}:{at + 1}", fault, "write `x y width height` as whole numbers") from None
    return Photograph(path, np.array(boxes, np.float32).reshape(-1, 4)), at + 1
