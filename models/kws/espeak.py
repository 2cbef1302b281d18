"""Words spoken by espeak-ng (Debian's package of that name): many voices, speeds and pitches."""

from __future__ import annotations

import io
import shutil
import subprocess
import wave

import numpy as np
from features import RATE
from numpy.typing import NDArray

from nnrules.error import UserError

Floats = NDArray[np.float32]
COMMAND = "espeak-ng"
DIALECTS = [  # American ones more often, as in Speech Commands
    "en-us", "en-us", "en-us", "en-us", "en-us-nyc", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan",
    "en-gb-x-gbcwmd", "en-029",
]  # fmt: skip
SPEAKERS = {
    "train": [
        "m1", "m2", "m3", "m4", "m5", "m6", "m7", "f1", "f2", "f3", "f4", "klatt", "klatt2", "klatt4", "klatt5",
        "adam", "Alex", "Alicia", "Andrea", "Andy", "Annie", "antonio", "aunty", "belinda", "benjamin", "boris",
        "caleb", "david", "Denis", "Diogo", "ed", "edward", "Gene", "grandma", "grandpa", "gustave", "Henrique",
        "Hugo", "iven", "iven3", "Jacky", "john", "Lee", "linda", "marcelo", "Mario", "max", "Michael", "miguel",
        "Mike", "norbert", "pablo", "paul", "quincy", "rob", "sandro", "shelby", "steph", "steph3", "travis",
    ],
    "test": [
        "m8", "f5", "klatt3", "klatt6", "anika", "edward2", "Gene2", "iven2", "iven4", "kaukovalta", "Marco", "michel",
        "pedro", "robert", "steph2", "victor", "zac", "Storm", "Nguyen",
    ],
}  # fmt: skip
LOUD = 0.01  # of the largest sample: what is softer at either end is cut off


def speak(word: str, split: str, chance: np.random.Generator) -> Floats:
    """A word by a speaker of one split, 16 kHz, without silence around it.

    Raises UserError where espeak-ng is not installed or does not know the voice.
    """
    if shutil.which(COMMAND) is None:
        raise UserError(COMMAND, "is not installed", "install it: apt-get install espeak-ng")
    voice = f"{chance.choice(DIALECTS)}+{chance.choice(SPEAKERS[split])}"
    speed, pitch, tones = chance.integers(90, 230), chance.integers(10, 95), chance.integers(20, 100)
    text = f'<prosody range="{tones}%">{word}</prosody>'
    command = [COMMAND, "-m", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0 or not done.stdout:
        reason = done.stderr.decode(errors="replace").strip().splitlines() or [f"ended with {done.returncode}"]
        raise UserError(f"{COMMAND} -v {voice}", reason[-1], "install Debian's espeak-ng with its data")
    with wave.open(io.BytesIO(done.stdout)) as sound:
        samples = np.frombuffer(sound.readframes(-1), "<i2").astype(np.float32) / 32768
        return trimmed(resampled(samples, RATE / sound.getframerate()))


def resampled(samples: Floats, ratio: float) -> Floats:
    """With `ratio` times as many samples, band-limited, through the spectrum."""
    count = max(2, round(len(samples) * ratio))
    spectrum = np.fft.rfft(samples)[: count // 2 + 1]
    return (np.fft.irfft(spectrum, count) * (count / len(samples))).astype(np.float32)


def trimmed(samples: Floats) -> Floats:
    """Without what is soft at either end."""
    loud = np.flatnonzero(np.abs(samples) > LOUD * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples
