"""Grey scenes: faces and non-faces of lfw_subset on photographs, all from the scikit-image and scikit-learn wheels.

Faces, non-faces and backgrounds are divided between training and test before anything is composed, so a test scene
holds nothing that training has seen. Pictures are float32 in 0..1, (height, width); boxes are (n, 4) float32
`left top right bottom` in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from patches import Patch, paste, soft_mask, surround, vary, warp
from PIL import Image, ImageFilter

SIDE = 96
SMALLEST, LARGEST = 18.0, 56.0  # side of a face in pixels: lfw_subset's crop, forehead to chin
TILT = 20.0  # degrees either way
TEST_FACES = 35
LARGEST_PHOTOGRAPH = 480

# Photographs with people nobody has labelled (astronaut, camera, and the portrait heads of coins) are left out.
BACKGROUNDS: dict[str, tuple[str, ...]] = {
    "train": (
        "skimage/data/brick.png",
        "skimage/data/chelsea.png",
        "skimage/data/clock_motion.png",
        "skimage/data/gravel.png",
        "skimage/data/hubble_deep_field.jpg",
        "skimage/data/ihc.png",
        "skimage/data/moon.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/motorcycle_right.png",
        "skimage/data/page.png",
        "skimage/data/retina.jpg",
        "sklearn/datasets/images/china.jpg",
    ),
    "test": (
        "skimage/data/coffee.png",
        "skimage/data/grass.png",
        "skimage/data/rocket.jpg",
        "skimage/data/text.png",
        "sklearn/datasets/images/flower.jpg",
    ),
}
FACE_AMONG_NON_FACES = 125  # this crop of the non-face half shows a bystander's face

Boxes = NDArray[np.float32]
Split = Literal["train", "test"]


@dataclass(frozen=True)
class Sources:
    """What scenes of one split are made of: crops (n, 25, 25) in 0..1 and grey photographs."""

    faces: Patch
    others: Patch
    backgrounds: tuple[Image.Image, ...]


def load_sources(split: Split) -> Sources:
    """Read one split's faces, non-faces and backgrounds from the installed wheels; no network is used."""
    crops = np.load(_wheel_file("skimage/data/lfw_subset.npy")).astype(np.float32)
    faces, others = np.arange(100), np.setdiff1d(np.arange(100, 200), FACE_AMONG_NON_FACES)
    shuffle = np.random.default_rng(20)
    faces, others = shuffle.permutation(faces), shuffle.permutation(others)
    part = slice(None, TEST_FACES) if split == "test" else slice(TEST_FACES, None)
    photos = tuple(_photograph(name) for name in BACKGROUNDS[split])
    return Sources(crops[faces[part]], crops[others[part]], photos)


def _photograph(name: str) -> Image.Image:
    """In grey and at most LARGEST_PHOTOGRAPH pixels wide and high: scenes need no more, and are composed faster."""
    with Image.open(_wheel_file(name)) as file:
        photo = file.convert("L")
    photo.thumbnail((LARGEST_PHOTOGRAPH, LARGEST_PHOTOGRAPH))
    return photo


def _wheel_file(name: str) -> Path:
    """Path of a file inside an installed package, without importing the package."""
    package, _, rest = name.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"package {package!r} is not installed")
    return Path(spec.origin).parent / rest


def compose(sources: Sources, rng: np.random.Generator, faces: int, others: int, augment: bool) -> tuple[Patch, Boxes]:
    """One scene of SIDE x SIDE pixels in steps of 1/255, and the boxes of its faces.

    `augment` widens the variety for training: mirror images, mixed faces, uneven light, occlusion, other masks, hair
    and shoulders, and patches of background pasted like a non-face. Fewer objects than asked are placed where there is
    no room.
    """
    scene = _background(sources, rng, augment)
    places = _free_places(rng, faces + others)
    if augment:
        for x, y, size in places:
            if rng.random() < 0.4:
                surround(scene, rng, x, y, size)
    boxes = []
    for index, (x, y, size) in enumerate(places):
        crop, side = _crop(sources, rng, index < faces, augment), round(size)
        aspect = rng.uniform(0.92, 1.08) if augment else 1.0
        mask = soft_mask(side, rng.uniform(2, 6), rng.uniform(0.15, 0.6)) if augment else soft_mask(side)
        left, top = paste(scene, warp(crop, side, np.deg2rad(rng.uniform(-TILT, TILT)), aspect), mask, x, y)
        if index < faces:
            boxes.append((left, top, left + side, top + side))
    return _expose(scene, rng), np.array(boxes, np.float32).reshape(-1, 4)


def _background(sources: Sources, rng: np.random.Generator, augment: bool) -> Patch:
    photo = sources.backgrounds[rng.integers(len(sources.backgrounds))]
    side = rng.uniform(0.3, 1.0) * min(photo.size)
    left, top = rng.uniform(0, photo.width - side), rng.uniform(0, photo.height - side)
    window = (left, top, left + side, top + side)
    small = photo.resize((SIDE, SIDE), Image.Resampling.BILINEAR, window, reducing_gap=2.0)
    scene = np.asarray(small, np.float32) / 255
    if augment and rng.random() < 0.5:
        scene = scene[:, ::-1]
    mean = scene.mean()
    scene = (scene - mean) * rng.uniform(0.6, 1.3) + mean + rng.uniform(-0.15, 0.15)
    return np.asarray(np.clip(scene, 0, 1), np.float32)


def _free_places(rng: np.random.Generator, count: int) -> list[tuple[float, float, float]]:
    """Up to `count` (centre x, centre y, side) inside the scene that do not touch; 20 tries for each."""
    taken: list[tuple[float, float, float]] = []
    for _ in range(20 * count):
        size = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
        x, y = (float(at) for at in rng.uniform(size / 2, SIDE - size / 2, 2))
        if all(max(abs(x - ox), abs(y - oy)) > (size + other) / 2 for ox, oy, other in taken):
            taken.append((x, y, size))
        if len(taken) == count:
            break
    return taken


def _crop(sources: Sources, rng: np.random.Generator, is_face: bool, augment: bool) -> Patch:
    kind = sources.faces if is_face else sources.others
    crop = kind[rng.integers(len(kind))]
    if augment and not is_face and rng.random() < 0.5:
        crop = _background(sources, rng, augment)[: crop.shape[0] * 2 : 2, : crop.shape[1] * 2 : 2]
    if augment:
        other = kind[rng.integers(len(kind))] if is_face and rng.random() < 0.5 else None
        crop = vary(crop, rng, other)
    mean = crop.mean()
    crop = (crop - mean) * rng.uniform(0.5, 1.3) + mean + rng.uniform(-0.15, 0.15)
    return np.asarray(np.clip(crop, 0, 1), np.float32)


def _expose(scene: Patch, rng: np.random.Generator) -> Patch:
    """Focus, contrast, brightness and sensor noise of the whole picture, then eight bits."""
    if rng.random() < 0.5:
        sharp = Image.fromarray(np.round(scene * 255).astype(np.uint8))
        blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))), np.float32)
        scene = np.asarray(blurred / 255, np.float32)
    mean = scene.mean()
    exposed = (scene - mean) * rng.uniform(0.5, 1.2) + mean + rng.uniform(-0.15, 0.15)
    exposed = exposed + rng.standard_normal(scene.shape, np.float32) * rng.uniform(0, 0.08)
    return np.asarray(np.round(np.clip(exposed, 0, 1) * 255) / 255, np.float32)
