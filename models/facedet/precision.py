"""Average precision of a detector."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def average_precision(found: Sequence[Floats], truth: Sequence[Floats], overlap: float) -> float:
    """Area under the precision-recall curve over all pictures (as Pascal VOC 2010: every point, monotone precision).

    `found` has one (n, 5) array per picture: left top right bottom score; `truth` one (m, 4) array of boxes. A
    detection is right when it is the best-scored one with at least `overlap` intersection over union with a box.
    """
    scores: list[float] = []
    right: list[bool] = []
    for boxes, wanted in zip(found, truth, strict=True):
        free = np.ones(len(wanted), bool)
        for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
            ratio = np.where(free, intersection_over_union(box[:4], wanted), 0.0)
            hit = len(wanted) > 0 and bool(ratio.max() >= overlap)
            if hit:
                free[int(ratio.argmax())] = False
            scores.append(float(box[4]))
            right.append(hit)
    total = sum(len(wanted) for wanted in truth)
    if not scores or not total:
        return 0.0
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.array(right)[order]
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def intersection_over_union(box: Floats, boxes: Floats) -> Floats:
    """Of one box (4,) with each of (n, 4), left top right bottom."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:4], box[2:4])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    joint = np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) + np.prod(box[2:4] - box[:2]) - shared
    return np.asarray(shared / np.maximum(joint, 1e-6), np.float32)
