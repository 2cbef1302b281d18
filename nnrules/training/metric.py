"""A network's quality on its dataset's test split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnrules.training.task import Dataset, Floats, MeasuredDataset

BATCH = 50


def measure(dataset: Dataset, infer: Callable[[Floats], list[Floats]]) -> dict[str, Any] | None:
    """{"name", "value", "samples"} over all items; None where the dataset has no metric.

    `infer` maps a batch of inputs to the network's outputs as real numbers.
    """
    if not isinstance(dataset, MeasuredDataset):
        return None
    results = [infer(batch) for batch in batches(dataset)]
    outputs = [np.concatenate(parts) for parts in zip(*results, strict=True)]
    value = round(float(dataset.metric(outputs)), 4)
    return {"name": dataset.metric_name, "value": value, "samples": len(outputs[0])}


def batches(dataset: Dataset, count: int | None = None) -> Iterator[NDArray[np.float32]]:
    """The inputs of the first `count` items in order, (n, ...) with n <= BATCH."""
    total = len(dataset) if count is None else min(count, len(dataset))
    for start in range(0, total, BATCH):
        yield np.stack([np.asarray(dataset[i][0], np.float32) for i in range(start, min(start + BATCH, total))])
