"""Sounds of toy machines (ToyADMOS, Koizumi et al., 2019), as DCASE 2020's task 2 divides them.

`data=` names the folder of one machine: `train/*.wav`, all in order, and `test/*.wav`, whose names begin with `normal_`
or `anomaly_`. The features are those of MLPerf Tiny's reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from features import BANDS, FRAMES, log_mel, read_wav
from numpy.typing import NDArray

from nnrules.error import UserError

Floats = NDArray[np.float32]
FIRST, LAST = 50, 250  # the frames of a recording that count, as in the benchmark


class MachineSounds:
    """Item: five neighbouring frames of log-mel energies (640,) float32, decibels, twice: as input and as target.

    All frames of a split are kept in memory, 100 KB a recording.
    """

    metric_name = "AUC"

    def __init__(self, split: str, data: Path | None = None) -> None:
        if data is None:
            raise UserError("MachineSounds", "needs its recordings", "name the folder of one machine: data=PATH")
        folder = Path(data) / split
        self.files = sorted(folder.glob("*.wav"))
        if not self.files:
            raise UserError(str(folder), "has no recordings", "lay them out as train/*.wav and test/*.wav")
        self.recordings = [_frames(file) for file in self.files]
        windows = [len(frames) - FRAMES + 1 for frames in self.recordings]
        self.ends = np.cumsum(windows)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        number = int(np.searchsorted(self.ends, index, side="right"))
        frames = self.recordings[number]
        first = index - (int(self.ends[number]) - (len(frames) - FRAMES + 1))
        window = np.ascontiguousarray(frames[first : first + FRAMES]).reshape(FRAMES * BANDS)
        return window, window

    def metric(self, outputs: Sequence[Floats]) -> float:
        """Area under the ROC curve of a recording's mean squared error (N, 640), over the recordings that the first N
        windows hold whole. Raises UserError where these are not of both kinds."""
        errors = [float(np.mean((output - self[index][0]) ** 2)) for index, output in enumerate(outputs[0])]
        whole = int(np.searchsorted(self.ends, len(errors), side="right"))
        scores = np.array([part.mean() for part in np.split(np.array(errors), self.ends[:whole])[:whole]])
        anomaly = np.array([file.name.startswith("anomaly_") for file in self.files[:whole]])
        if anomaly.all() or not anomaly.any():
            place, fault = str(self.files[0].parent), "needs both normal_*.wav and anomaly_*.wav"
            raise UserError(place, fault, "unpack the whole test set")
        above = scores[anomaly][:, None] - scores[~anomaly]
        return float(((above > 0) + 0.5 * (above == 0)).mean())


def _frames(file: Path) -> Floats:
    """The log-mel energies (n, 128) of the frames that count. Raises UserError where a recording is too short."""
    frames = log_mel(read_wav(file))[FIRST:LAST]
    if len(frames) < FRAMES:
        raise UserError(str(file), f"is shorter than {FIRST + FRAMES} frames", "remove it")
    return frames
