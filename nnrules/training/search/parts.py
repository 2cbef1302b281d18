"""The part of the training data that a search measures on, and what is left to train on; the test split is not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnrules.error import UserError
from nnrules.training.task import Dataset, Floats, MeasuredDataset, VaryingDataset, make_dataset

VALIDATION = "validation"
_LOOKS, _USUAL = 1000, 0.02  # items that are looked at; share of them that makes a class usual


class Parts:
    """Stands for a dataset's class: its split "train" is what trials train on, its split "test" what they are measured
    on. That is the split "validation", where the class says in `splits` that it has one; else the first `share` of the
    items of "train", since a metric takes the outputs of the first items."""

    def __init__(self, kind: Callable[..., Any], share: float) -> None:
        self._kind, self._share = kind, share
        self.__name__ = getattr(kind, "__name__", str(kind))

    def whole(self, data: Path | None) -> Dataset:
        """The training split before it is divided."""
        return make_dataset(self._kind, "train", data)

    def __call__(self, split: str, data: Path | None = None) -> Dataset:
        if VALIDATION in getattr(self._kind, "splits", ()):
            dataset = make_dataset(self._kind, "train" if split == "train" else VALIDATION, data)
            return dataset if split == "train" else self._measured(dataset)
        dataset = self.whole(data)
        count = round(len(dataset) * self._share)
        if not 0 < count < len(dataset):
            fault = f"validation={self._share:g} leaves nothing of {len(dataset)} items to train on or to measure on"
            raise UserError(self.__name__, fault, "choose another share or give the dataset more items")
        if split != "train":
            return self._measured(_First(self._measured(dataset), count))
        kind = _VaryingRest if isinstance(dataset, VaryingDataset) else _Rest
        return kind(dataset, count)

    def _measured(self, dataset: Dataset) -> MeasuredDataset:
        if not isinstance(dataset, MeasuredDataset):
            raise UserError(self.__name__, "has no metric to search by", "define metric_name and metric(outputs)")
        return dataset


class _Rest:
    """The items after the first `count`; else the dataset."""

    def __init__(self, dataset: Any, count: int) -> None:
        self._dataset, self._count = dataset, count

    def __len__(self) -> int:
        return len(self._dataset) - self._count

    def __getitem__(self, index: int) -> tuple[Floats | tuple[Floats, ...], Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        item: tuple[Floats | tuple[Floats, ...], Any] = self._dataset[self._count + index]
        return item

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._dataset, name)


class _VaryingRest(_Rest):
    def set_epoch(self, epoch: int) -> None:
        self._dataset.set_epoch(epoch)


class _First(_Rest):
    """The first `count` items, with their metric."""

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Floats | tuple[Floats, ...], Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        item: tuple[Floats | tuple[Floats, ...], Any] = self._dataset[index]
        return item

    @property
    def metric_name(self) -> str:
        return str(self._dataset.metric_name)

    def metric(self, outputs: Sequence[Floats]) -> float:
        return float(self._dataset.metric(outputs))


def require_mixed(dataset: Dataset, share: float, place: str) -> None:
    """Raises UserError where the targets are classes and the first `share` of the items lacks one that is usual among
    the others, as in a data set that is sorted. Looks at some of the items."""
    if _class_of(dataset[0][1]) is None:
        return
    count = round(len(dataset) * share)
    measured, rest = (
        Counter(_class_of(dataset[int(index)][1]) for index in np.linspace(first, last, min(last - first + 1, _LOOKS)))
        for first, last in ((0, count - 1), (count, len(dataset) - 1))
    )
    missing = [
        kind
        for kind, times in rest.items()
        if kind is not None and kind not in measured and times >= rest.total() * _USUAL
    ]
    if missing:
        fault = (
            f"the first {count} of {len(dataset)} training items, to be measured on, have none of class {min(missing)}"
        )
        raise UserError(place, fault, 'shuffle them, or have a split "validation" and name it in an attribute splits')


def _class_of(target: Any) -> int | None:
    """None where it is no class."""
    array = np.asarray(target)
    return int(array) if array.ndim == 0 and np.issubdtype(array.dtype, np.integer) else None
