"""Faces from the network's output in pure integers; `facedet_decode.c` computes the same numbers.

A network output value v means (v - zero_point) * scale. Channels of each grid cell: score (a logit), then the centre's
offset from the cell's centre across and down, and width and height less 32 pixels, the four in units of 8 pixels.
Coordinates are kept in 1/16 pixel. Rounding is half up throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GRID, CELL, SIDE = 12, 8, 96
CHANNELS = 5
BASE_SIZE = 32  # pixels: the face size that width and height values of zero stand for
STEPS = 16  # coordinate steps in a pixel
OVERLAP_EIGHTHS = 3  # of two boxes that overlap by more than 3/8 (intersection over union) the weaker one is dropped
FLOAT_SCALE = 2.0**-10  # float outputs are decoded at this resolution


@dataclass(frozen=True)
class Face:
    """A box in 1/16 pixel, clipped to the picture; score times the output's scale is the logit."""

    left: int
    top: int
    right: int
    bottom: int
    score: int


def coordinate_factor(scale: float) -> int:
    """Output steps to coordinates: round(scale * CELL * STEPS * 2^16), used as (v * factor + 2^15) >> 16."""
    return math.floor(scale * (CELL * STEPS * 65536.0) + 0.5)


def decode(output: NDArray[np.integer], scale: float, zero_point: int, threshold: int, limit: int) -> list[Face]:
    """At most `limit` faces, best first, of stored values `output` (5, 12, 12) whose score is at least `threshold`.

    Greedy non-maximum suppression; equal scores keep the order of the grid, row by row.
    """
    values = output.reshape(CHANNELS, GRID * GRID).astype(np.int64) - zero_point
    boxes = _boxes(values[1:], coordinate_factor(scale))
    waiting = values[0] >= threshold
    faces: list[Face] = []
    while len(faces) < limit and waiting.any():
        best = int(np.argmax(np.where(waiting, values[0], np.iinfo(np.int64).min)))
        left, top, right, bottom = (int(edge) for edge in boxes[best])
        faces.append(Face(left, top, right, bottom, int(values[0, best])))
        waiting &= ~_overlaps(boxes, boxes[best])
        waiting[best] = False
    return faces


def decode_float(output: NDArray[np.float32], logit: float, limit: int) -> list[Face]:
    """`decode` of real values, first rounded to steps of FLOAT_SCALE; faces from a score of `logit` up."""
    stored = np.floor(output.astype(np.float64) / FLOAT_SCALE + 0.5).astype(np.int64)
    return decode(stored, FLOAT_SCALE, 0, round(logit / FLOAT_SCALE), limit)


def _boxes(values: NDArray[np.int64], factor: int) -> NDArray[np.int64]:
    """Edges (cells, 4) left top right bottom of the (4, cells) box values, clipped to the picture."""
    across, down, width, height = (values * factor + 32768) >> 16
    cells = np.arange(GRID * GRID)
    x = (cells % GRID * CELL + CELL // 2) * STEPS + across
    y = (cells // GRID * CELL + CELL // 2) * STEPS + down
    half_width = np.maximum(width + BASE_SIZE * STEPS, 0) >> 1
    half_height = np.maximum(height + BASE_SIZE * STEPS, 0) >> 1
    edges = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    return np.asarray(np.clip(edges, 0, SIDE * STEPS))


def _overlaps(boxes: NDArray[np.int64], box: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which boxes overlap `box` by more than OVERLAP_EIGHTHS / 8."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    joint = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2]) - shared
    return np.asarray(8 * shared > OVERLAP_EIGHTHS * joint)
