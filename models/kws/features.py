"""The features of MLPerf Tiny's keyword spotting, as TensorFlow's signal library makes them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
RATE = 16000
WINDOW, STEP, FFT = 480, 320, 512  # samples: 30 ms every 20 ms
BANDS, LOW, HIGH = 40, 20.0, 4000.0
FRAMES, COEFFICIENTS = 49, 10
FLOOR = 1e-6


def cepstrum(samples: Floats) -> Floats:
    """(49, 10): the first mel-frequency cepstral coefficients of a second of sound, whose largest sample becomes 1."""
    largest = float(samples.max())
    sound = samples / np.float32(largest) if largest > 0 else samples
    frames = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::STEP]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    magnitude = np.abs(np.fft.rfft(frames * window, FFT)).astype(np.float32)
    result: Floats = np.log(magnitude @ mel_matrix() + np.float32(FLOOR)) @ cosines()
    return result


@cache
def mel_matrix() -> Floats:
    """(257, 40): triangles over the mel scale mel(f) = 1127 ln(1 + f / 700); the first bin, silence, is in none."""
    edges = np.linspace(_mel(np.array(LOW)), _mel(np.array(HIGH)), BANDS + 2)
    bins = _mel(np.arange(1, FFT // 2 + 1) * RATE / FFT)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return np.pad(np.maximum(0, np.minimum(rising, falling)), ((1, 0), (0, 0))).astype(np.float32)


@cache
def cosines() -> Floats:
    """(40, 10): the orthonormal DCT-II's first rows, the zeroth larger by sqrt 2."""
    angles = np.pi / BANDS * np.outer(np.arange(BANDS) + 0.5, np.arange(COEFFICIENTS))
    return (np.sqrt(2 / BANDS) * np.cos(angles)).astype(np.float32)


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1127 * np.log1p(hertz / 700)
