"""Inputs from a .npz file: samples that came with an imported model (stage `convert`), or drawn by lot (`seed`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class Recorded:
    """Arrays `x0`, `x1`, ... of `data`, float32 (N, ...), one for each of the model's inputs; labels `y` where known.

    The split "train", which calibrates, is in `calibration0`, ... where that was given apart. `drawn`: they are noise
    for want of samples, and no range may be read from them. `told`: what the report calls them, which need not be held
    out of anything.
    """

    def __new__(cls, split: str, data: Path) -> Any:
        with np.load(data, allow_pickle=False) as file:
            labelled = "y" in file.files
        return object.__new__(Labelled if labelled else Recorded)

    def __init__(self, split: str, data: Path) -> None:
        with np.load(data, allow_pickle=False) as file:
            prefix = "calibration" if split == "train" and "calibration0" in file.files else "x"
            count = sum(each.startswith("x") for each in file.files)
            self.inputs = [file[f"{prefix}{i}"] for i in range(count)]
            self.drawn = "drawn" in file.files
            self.told = "inputs drawn by lot" if self.drawn else "samples that were given"
            self.labels = file["y"] if "y" in file.files and prefix == "x" else None

    def __len__(self) -> int:
        return len(self.inputs[0])

    def __getitem__(self, index: int) -> tuple[Any, np.int64]:
        label = np.int64(0 if self.labels is None else self.labels[index])
        found = tuple(each[index] for each in self.inputs)
        return (found[0] if len(found) == 1 else found), label


class Labelled(Recorded):
    """With labels: the share of samples whose first output is largest at the label, or is the label."""

    metric_name = "top-1"

    def metric(self, outputs: list[np.ndarray]) -> float:
        """Top-1 of the first output: (N, classes), or (N, 1) with the class itself (or a yes above one half)."""
        scores = np.asarray(outputs[0]).reshape(len(outputs[0]), -1)
        found = scores.argmax(1) if scores.shape[1] > 1 else np.rint(scores[:, 0]).astype(np.int64)
        assert self.labels is not None
        return float(np.mean(found == self.labels[: len(found)]))
