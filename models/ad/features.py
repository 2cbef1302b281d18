"""Log-mel energies of 16 kHz recordings, as librosa's melspectrogram makes them by default."""

from __future__ import annotations

import wave
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError

Floats = NDArray[np.float32]
RATE, WINDOW, STEP = 16000, 1024, 512
BANDS, FRAMES = 128, 5
LINEAR_HERTZ, LINEAR_MEL, LOG_STEP = 200 / 3, 15.0, np.log(6.4) / 27  # Slaney's scale: linear below 1 kHz


def read_wav(file: Path) -> Floats:
    """The first channel, -1..1. Raises UserError for what is not 16-bit PCM at 16 kHz."""
    try:
        with wave.open(str(file)) as opened:
            form = (opened.getframerate(), opened.getsampwidth())
            samples = np.frombuffer(opened.readframes(opened.getnframes()), "<i2" if form[1] == 2 else np.uint8)
            samples = samples.reshape(-1, opened.getnchannels())[:, 0]
    except (wave.Error, EOFError):
        raise UserError(str(file), "is not a WAV file", "remove it") from None
    if form != (RATE, 2):
        raise UserError(str(file), f"has {form[1] * 8} bits at {form[0]} Hz", f"convert it to 16 bits at {RATE} Hz")
    return (samples / 32768).astype(np.float32)


def log_mel(samples: Floats) -> Floats:
    """(frames, BANDS) decibels of the power in each band. Frames are centred; silence is added around the recording."""
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    return (10 * np.log10(power @ mel_matrix().T + np.finfo(np.float64).eps)).astype(np.float32)


@cache
def mel_matrix() -> NDArray[np.float64]:
    """(BANDS, WINDOW / 2 + 1): triangles over Slaney's mel scale from 0 to 8 kHz, each of area 2 / its width in Hz."""
    edges = _hertz(np.linspace(0, _mel(np.array(RATE / 2)), BANDS + 2))
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    matrix: NDArray[np.float64] = triangles * (2 / (edges[2:] - edges[:-2]))[:, None]
    return matrix


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    start = LINEAR_HERTZ * LINEAR_MEL
    return np.where(hertz < start, hertz / LINEAR_HERTZ, LINEAR_MEL + np.log(np.maximum(hertz, 1) / start) / LOG_STEP)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    linear = LINEAR_HERTZ * mel
    return np.where(mel < LINEAR_MEL, linear, LINEAR_HERTZ * LINEAR_MEL * np.exp(LOG_STEP * (mel - LINEAR_MEL)))
