"""From a word to a second of sound: its place in time, the room and microphone, and the noise, all by lot.

Synthetic speech is clean and even; what is drawn here is what recordings differ by.
"""

from __future__ import annotations

import numpy as np
from features import RATE
from numpy.typing import NDArray

Floats = NDArray[np.float32]
LENGTH = RATE  # samples: one second
ECHO = 4000
FFT = LENGTH + ECHO
HERTZ = (np.arange(FFT // 2 + 1) * (RATE / FFT)).astype(np.float32)
OCTAVES = np.log2(np.maximum(HERTZ, 10) / 100)  # from 100 Hz


def record(word: Floats, chance: np.random.Generator) -> Floats:
    """One second with the word in it, at a pace and pitch of its own."""
    count = round(len(word) * float(np.exp(chance.uniform(-0.2, 0.3))))
    voice = np.interp(np.linspace(0, len(word) - 1, count), np.arange(len(word)), word) * _swell(count, chance)
    second = np.zeros(FFT, np.float32)
    room = LENGTH - count
    start = round(room * chance.beta(2, 2)) if room > 0 else 0
    part = voice[max(0, -room) // 2 :][:LENGTH]
    second[start : start + len(part)] = part
    heard = np.fft.irfft(np.fft.rfft(second) * _response(chance), FFT)[:LENGTH]
    level = np.abs(heard).max() * 10 ** (-chance.uniform(8, 70) / 20)
    return (heard + level * noise(chance)).astype(np.float32)


def noise(chance: np.random.Generator) -> Floats:
    """One second of noise whose spectrum falls by 0 to 9 dB an octave and is uneven, its largest sample 1."""
    decibels = _curve(chance) - chance.uniform(0, 9) * np.maximum(OCTAVES, 0)
    spectrum = np.fft.rfft(chance.standard_normal(FFT, np.float32)) * _gain(decibels)
    sound = np.fft.irfft(spectrum * (chance.uniform(0, 80) < HERTZ), FFT)[:LENGTH]
    sound = sound * _course(chance)
    loudest: Floats = (sound / np.abs(sound).max()).astype(np.float32)
    return loudest


def _course(chance: np.random.Generator) -> Floats:
    """How loud noise is through a second: the same, wandering, or in strokes that fade."""
    kind = chance.random()
    if kind < 0.6:
        return np.ones(LENGTH, np.float32)
    if kind < 0.8:
        return np.interp(np.arange(LENGTH), np.linspace(0, LENGTH, 12), chance.uniform(0.1, 1, 12)).astype(np.float32)
    gain = np.full(LENGTH, 10 ** -chance.uniform(0.3, 1.5))
    for start in chance.integers(0, LENGTH, chance.integers(1, 9)):
        gain[start:] += chance.uniform(0.2, 1) * np.exp(
            -np.arange(LENGTH - start) / (RATE * chance.uniform(0.005, 0.1))
        )
    return gain.astype(np.float32)


def _swell(length: int, chance: np.random.Generator) -> Floats:
    """A gain that wanders by some decibels through a word."""
    return _gain(np.interp(np.arange(length), np.linspace(0, length, 5), chance.normal(0, 3, 5)))


def _response(chance: np.random.Generator) -> NDArray[np.complexfloating]:
    """Of microphone and room: an uneven gain, a lower and an upper limit, and an echo that fades."""
    low, high = chance.uniform(20, 250), np.exp(chance.uniform(np.log(2500), np.log(12000)))
    gain = _gain(_curve(chance)) / np.sqrt((1 + (low / np.maximum(HERTZ, 1)) ** 4) * (1 + (HERTZ / high) ** 4))
    if chance.random() < 0.4:
        return gain.astype(np.complex64)
    echo = chance.standard_normal(ECHO, np.float32)
    echo *= np.exp(-np.arange(ECHO, dtype=np.float32) / np.float32(RATE * chance.uniform(0.01, 0.1)))
    echo *= chance.uniform(0.1, 0.9) / np.sqrt((echo**2).sum())
    echo[0] += 1
    response: NDArray[np.complexfloating] = gain * np.fft.rfft(echo, FFT)
    return response


def _curve(chance: np.random.Generator) -> NDArray[np.floating]:
    """Decibels by bin: a line through points an octave apart, each 6 dB or so from 0."""
    return np.interp(OCTAVES, np.arange(8), chance.normal(0, 6, 8))


def _gain(decibels: NDArray[np.floating]) -> Floats:
    return (10 ** (decibels / 20)).astype(np.float32)
