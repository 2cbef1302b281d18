"""People's own recordings: Speech Commands (Warden, 2018), or the samples of MLPerf Tiny's runner.

samples.npz              x: int8 (N, 49, 10, 1), the features as the reference model takes them; y: labels 0..11
<word>/*.wav             one second each, 16 bit, 16 kHz
_background_noise_/*.wav longer
testing_list.txt         the recordings for the test, a path a line
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from features import RATE
from numpy.typing import NDArray

from nnrules.error import UserError

Floats = NDArray[np.float32]
NOISE = "_background_noise_"
FEATURES = "samples.npz"


def read_features(file: Path, scale: float, zero_point: int) -> tuple[Floats, NDArray[np.int64]]:
    """Features (N, 1, 49, 10) and labels. Raises UserError for other arrays."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x, y = arrays["x"], arrays["y"]
    except (OSError, ValueError, KeyError):
        raise UserError(str(file), "has no arrays x and y", "take the samples of MLPerf Tiny's runner") from None
    if x.dtype != np.int8 or x.shape != (len(y), 49, 10, 1) or len(y) == 0:
        fault = f"x is {x.dtype} {x.shape}"
        raise UserError(str(file), fault, "it must be int8 (N, 49, 10, 1), as the reference model takes it")
    real = (x.astype(np.float32) - zero_point) * np.float32(scale)
    return np.ascontiguousarray(real.transpose(0, 3, 1, 2)), y.astype(np.int64)


def find_recordings(folder: Path, split: str) -> list[tuple[str, Path]]:
    """(word, file) of one split, in order. Raises UserError where there are none."""
    file = folder / "testing_list.txt"
    listed = set(file.read_text(encoding="utf-8").split()) if file.is_file() else set()
    wavs = sorted(path for path in folder.glob("*/*.wav") if path.parent.name != NOISE)
    if not listed:
        raise UserError(str(folder), f"has neither {FEATURES} nor {file.name}", "name the folder of Speech Commands")
    return [
        (path.parent.name, path)
        for path in wavs
        if (path.relative_to(folder).as_posix() in listed) == (split == "test")
    ]


def read_second(file: Path, start: int = 0) -> Floats:
    """One second of a recording from a sample on, -1..1, silence after its end. Raises UserError for another format."""
    try:
        with wave.open(str(file)) as opened:
            form = (opened.getframerate(), opened.getsampwidth(), opened.getnchannels())
            opened.setpos(min(start, opened.getnframes()))
            data = opened.readframes(RATE)
    except (wave.Error, EOFError):
        raise UserError(str(file), "is not a WAV file", "remove it") from None
    if form != (RATE, 2, 1):
        fault = f"has {form[2]} channels of {form[1] * 8} bits at {form[0]} Hz"
        raise UserError(str(file), fault, f"convert it to one of 16 bits at {RATE} Hz")
    samples = np.frombuffer(data, "<i2").astype(np.float32) / 32768
    return np.pad(samples, (0, RATE - len(samples)))
