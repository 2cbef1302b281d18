"""Operations on small grey crops: warp, soft mask, paste, and the variations used in training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Patch = NDArray[np.float32]


def warp(crop: Patch, size: int, angle: float, aspect: float) -> Patch:
    """The crop turned by `angle` radians, widened by `aspect`, scaled to size x size; edges are repeated."""
    margin = crop.shape[0] // 4
    source = Image.fromarray(np.pad(crop, margin, mode="edge"))
    step, middle = crop.shape[0] / size, source.width / 2
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    across, down = (cos / aspect, -sin), (sin / aspect, cos)
    half = size / 2
    matrix = (*across, middle - half * sum(across), *down, middle - half * sum(down))
    turned = source.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return np.clip(np.asarray(turned, np.float32), 0, 1)


def soft_mask(size: int, corner: float = 4.0, fade: float = 0.25) -> Patch:
    """Weights 0..1 of a pasted crop: a rounded square (`corner` 2: a circle) that fades out over its outer part."""
    axis = np.abs((np.arange(size, dtype=np.float32) + 0.5) * 2 / size - 1)
    radius = (axis[:, None] ** corner + axis[None, :] ** corner) ** (1 / corner)
    t = np.clip((1 - radius) / fade, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def surround(scene: Patch, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Paint, in place, what may lie around a head at (x, y): an even blob as of hair and one below as of shoulders."""
    rows = np.arange(scene.shape[0], dtype=np.float32)[:, None]
    columns = np.arange(scene.shape[1], dtype=np.float32)[None, :]
    wide, high = size * rng.uniform(0.5, 0.8), size * rng.uniform(0.5, 0.85)
    hair = ((columns - x) / wide) ** 2 + ((rows - y + size * rng.uniform(0, 0.25)) / high) ** 2
    wide, drop = size * rng.uniform(0.6, 1.3), size * rng.uniform(0.9, 1.3)
    shoulders = ((columns - x) / wide) ** 2 + ((rows - y - drop) / (size * 0.7)) ** 2
    for distance in (shoulders, hair):
        t = np.clip((1.2 - distance) / 0.4, 0, 1) * rng.uniform(0.5, 1.0)
        scene += t * (rng.uniform(0, 1) - scene)


def paste(scene: Patch, patch: Patch, mask: Patch, x: float, y: float) -> tuple[int, int]:
    """Blend the patch into the scene, in place, centred near (x, y); return its left and top pixel."""
    size = patch.shape[0]
    left = int(np.clip(round(x - size / 2), 0, scene.shape[1] - size))
    top = int(np.clip(round(y - size / 2), 0, scene.shape[0] - size))
    window = scene[top : top + size, left : left + size]
    window += mask * (patch - window)
    return left, top


def vary(crop: Patch, rng: np.random.Generator, other: Patch | None) -> Patch:
    """A training variation of a crop: mirrored, mixed with another one, lit from a side, partly covered."""
    if other is not None:
        weight = _mixture(rng, crop.shape)
        crop = crop * weight + (other[:, ::-1] if rng.random() < 0.5 else other) * (1 - weight)
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    crop = crop ** rng.uniform(0.7, 1.4)
    ramp = np.linspace(-1, 1, crop.shape[0], dtype=np.float32)
    crop = crop * (1 + rng.uniform(-0.3, 0.3) * ramp[None, :] + rng.uniform(-0.2, 0.2) * ramp[:, None])
    if rng.random() < 0.15:
        crop = _cover(crop, rng)
    return np.asarray(crop, np.float32)


def _mixture(rng: np.random.Generator, shape: tuple[int, ...]) -> Patch:
    """Weights of the first of two mixed faces: even, or changing smoothly from top to bottom or left to right."""
    level = rng.uniform(0.25, 0.75)
    ramp = 1 / (1 + np.exp(np.linspace(-1, 1, shape[0]) * rng.uniform(-8, 8)))
    choice = rng.integers(3)
    if choice == 0:
        return np.full(shape, level, np.float32)
    return np.broadcast_to(ramp[:, None] if choice == 1 else ramp[None, :], shape).astype(np.float32)


def _cover(crop: Patch, rng: np.random.Generator) -> Patch:
    """A band of even grey over up to a third of one side, as of a hat, a hand or a microphone."""
    crop, depth = crop.copy(), rng.integers(2, crop.shape[0] // 3)
    view = np.rot90(crop, int(rng.integers(4)))
    view[:depth] = rng.uniform(0, 1)
    return crop
