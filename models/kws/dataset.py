"""Ten words to tell apart from silence and from other words: spoken by espeak-ng, or people's recordings.

Without `data=`, all is synthetic. With it, a folder of Speech Commands gives both splits; one that has only MLPerf
Tiny's samples.npz is the test, and training stays synthetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from espeak import speak
from features import cepstrum
from numpy.typing import NDArray
from recordings import FEATURES, NOISE, find_recordings, read_features, read_second
from rooms import noise, record

from nnrules.error import UserError

Floats = NDArray[np.float32]
WORDS = ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes"]
SILENCE, UNKNOWN = 10, 11
CLASSES = 12
OTHERS = [
    "backward", "bed", "bird", "cat", "dog", "eight", "five", "follow", "forward", "four", "happy", "house", "learn",
    "marvin", "nine", "one", "seven", "sheila", "six", "three", "tree", "two", "visual", "wow", "zero",
]  # fmt: skip
SPOKEN = {"train": 240, "test": 50}  # utterances of each class
ITEMS = {"train": 400, "test": 50}  # of each class in an epoch


class SpokenWords:
    """Item: cepstral coefficients (1, 49, 10) float32, and the class 0..11 (int64), in the official order.

    Training items differ from epoch to epoch, in the utterance, its pace and place, the room and the noise.
    """

    input_quantization = (0.5847029, 83)  # the official model's
    metric_name = "top-1"

    def __init__(self, split: str, data: Path | None = None) -> None:
        self.split, self.epoch = split, 0
        self._source: Synthetic | Recorded | Prepared
        if data is None or (split == "train" and _only_features(Path(data))):
            self._source = Synthetic(split)
        elif split == "test" and (Path(data) / FEATURES).is_file():
            self._source = Prepared(Path(data) / FEATURES, *self.input_quantization)
        else:
            self._source = Recorded(Path(data), split)

    def __len__(self) -> int:
        return len(self._source.labels)

    def set_epoch(self, epoch: int) -> None:
        """Draw otherwise from here on."""
        self.epoch = epoch
        self._source.prepare()

    def __getitem__(self, index: int) -> tuple[Floats, np.int64]:
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        chance = np.random.default_rng([self.split == "test", self.epoch, index])
        return self._source.features(index, chance), self._source.labels[index]

    def metric(self, outputs: Sequence[Floats]) -> float:
        """Share of the first N items whose class has the largest output (N, 12)."""
        found = outputs[0].argmax(1)
        return float((found == self._source.labels[: len(found)]).mean())


class Synthetic:
    """Utterances of espeak-ng, each made when it is first asked for; `prepare` makes all."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.labels = np.tile(np.arange(CLASSES), ITEMS[split])
        self._spoken: dict[tuple[int, int], Floats] = {}

    def prepare(self) -> None:
        """Before processes are started that would each make them again."""
        for label in range(CLASSES):
            for number in range(SPOKEN[self.split] if label != SILENCE else 0):
                self._utterance(label, number)

    def features(self, index: int, chance: np.random.Generator) -> Floats:
        """Of one item."""
        label = int(self.labels[index])
        if label == SILENCE:
            return cepstrum(noise(chance))[None]
        numbers = SPOKEN[self.split]
        number = int(chance.integers(numbers)) if self.split == "train" else index // CLASSES % numbers
        return cepstrum(record(self._utterance(label, number), chance))[None]

    def _utterance(self, label: int, number: int) -> Floats:
        if (label, number) not in self._spoken:
            word = OTHERS[number % len(OTHERS)] if label == UNKNOWN else WORDS[label]
            chance = np.random.default_rng([self.split == "test", label, number])
            self._spoken[label, number] = speak(word, self.split, chance)
        return self._spoken[label, number]


class Recorded:
    """Speech Commands. Of the words outside of WORDS as many are taken as of one class, and silence likewise."""

    def __init__(self, folder: Path, split: str) -> None:
        found = find_recordings(folder, split)
        named = [(path, WORDS.index(word)) for word, path in found if word in WORDS]
        share = max(1, len(named) // len(WORDS))
        others = [path for word, path in found if word not in WORDS]
        noises = sorted((folder / NOISE).glob("*.wav"))
        if not named or not others or not noises:
            lacking = "*.wav of the ten words" if not named else "other words" if not others else f"{NOISE}/*.wav"
            raise UserError(str(folder), f"has no {lacking}", "unpack all of Speech Commands")
        chosen = np.random.default_rng(0).permutation(len(others))[:share]
        named += [(others[index], UNKNOWN) for index in chosen]
        named += [(noises[index % len(noises)], SILENCE) for index in range(share)]
        self.noises, self.training = noises, split == "train"
        self.files = [path for path, _ in named]
        self.labels = np.array([label for _, label in named], np.int64)

    def prepare(self) -> None:
        """Nothing."""

    def features(self, index: int, chance: np.random.Generator) -> Floats:
        """Of one item; in training moved by up to 0.1 s and with noise of up to a tenth of its loudness."""
        if self.labels[index] == SILENCE:
            return cepstrum(_background(self.files[index], chance))[None]
        sound = read_second(self.files[index])
        if self.training:
            sound = np.roll(np.pad(sound, 1600), int(chance.integers(-1600, 1601)))[1600:-1600]
            hum = _background(self.noises[chance.integers(len(self.noises))], chance)
            sound = sound + hum * np.float32(
                chance.uniform(0, 0.1) * np.abs(sound).max() / max(np.abs(hum).max(), 1e-6)
            )
        return cepstrum(sound)[None]


class Prepared:
    """Features that somebody has made: the samples of MLPerf Tiny's runner."""

    def __init__(self, file: Path, scale: float, zero_point: int) -> None:
        self.x, self.labels = read_features(file, scale, zero_point)

    def prepare(self) -> None:
        """Nothing."""

    def features(self, index: int, chance: np.random.Generator) -> Floats:
        """Of one item."""
        return self.x[index]


def _only_features(folder: Path) -> bool:
    return (folder / FEATURES).is_file() and not (folder / "testing_list.txt").is_file()


def _background(file: Path, chance: np.random.Generator) -> Floats:
    """A second from anywhere in a long recording."""
    seconds = file.stat().st_size // 32000
    return read_second(file, int(chance.integers(max(1, (seconds - 1) * 16000))))
