"""A network's quality on its dataset's test split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nnrules.error import UserError
from nnrules.training.task import Dataset, Floats, MeasuredDataset, stacked

BATCH = 50


def measure(dataset: Dataset, infer: Callable[[tuple[Floats, ...]], list[Floats]]) -> dict[str, Any] | None:
    """{"name", "value", "samples"} over all items; None where the dataset has no metric.

    `infer` maps a batch, an array for each input, to the network's outputs as real numbers. Raises UserError where the
    metric gives no finite number.
    """
    if not isinstance(dataset, MeasuredDataset):
        return None
    results = [infer(batch) for batch in batches(dataset)]
    outputs = [np.concatenate(parts) for parts in zip(*results, strict=True)]
    value = _number(dataset.metric(outputs), dataset.metric_name)
    return {"name": dataset.metric_name, "value": round(value, 4), "samples": len(outputs[0])}


def _number(found: Any, name: str) -> float:
    """What a metric gave."""
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"metric {name!r}", f"gives {found!r}, which is no finite number", "correct metric(outputs)")
    return value


def batches(dataset: Dataset, count: int | None = None) -> Iterator[tuple[Floats, ...]]:
    """The first `count` items in order, an array (n, ...) with n <= BATCH for each of the network's inputs."""
    total = len(dataset) if count is None else min(count, len(dataset))
    for start in range(0, total, BATCH):
        yield stacked(dataset, range(start, min(start + BATCH, total)))
