"""Keyword spotting: the features, speech by espeak-ng, people's recordings."""

import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from nnrules.error import UserError
from tests.models.modules import module_of
from tests.models.test_mlperf_datasets import RATE, write_wav
from tests.needs import need_command

dataset, espeak, features, recordings, rooms = (
    module_of("kws", name) for name in ("dataset", "espeak", "features", "recordings", "rooms")
)


def test_the_mel_matrix_is_tensorflows() -> None:
    """As it is defined: mel(f) = 1127 ln(1 + f / 700), triangles between 42 edges, no weight for f = 0."""
    matrix = features.mel_matrix()
    mel = 1127 * np.log(1 + np.arange(257) * 31.25 / 700)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 4000 / 700), 42)
    for band in (0, 17, 39):
        low, middle, high = edges[band : band + 3]
        expected = np.clip(np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle)), 0, None)
        expected[0] = 0
        assert np.allclose(matrix[:, band], expected, atol=1e-6)


def test_the_cepstrum_of_silence_and_of_a_tone() -> None:
    silent = features.cepstrum(np.zeros(RATE, np.float32))
    assert silent.shape == (49, 10)
    assert np.allclose(silent[:, 0], np.sqrt(2 / 40) * 40 * np.log(1e-6), rtol=1e-4)
    assert np.allclose(silent[:, 1:], 0, atol=1e-3)
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    assert np.allclose(features.cepstrum(tone), features.cepstrum(0.1 * tone), atol=1e-2)  # the loudest sample is 1


def test_a_spectrum_is_taken_of_480_samples_in_512() -> None:
    """One frame by the definition, with a plain discrete Fourier transform."""
    sound = np.random.default_rng(0).uniform(-1, 1, RATE).astype(np.float32)
    frame = (sound / sound.max())[320 * 7 : 320 * 7 + 480] * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480))
    transform = np.exp(-2j * np.pi * np.outer(np.arange(257), np.arange(480)) / 512)
    log_mel = np.log(np.abs(transform @ frame) @ features.mel_matrix() + 1e-6)
    angles = np.pi / 40 * np.outer(np.arange(10), np.arange(40) + 0.5)
    assert np.allclose(features.cepstrum(sound)[7], np.sqrt(2 / 40) * np.cos(angles) @ log_mel, atol=1e-3)


def test_resampling_keeps_a_tone() -> None:
    tone = np.sin(2 * np.pi * 50 * np.arange(2205) / 22050).astype(np.float32)
    found = espeak.resampled(tone, RATE / 22050)
    assert len(found) == 1600
    assert np.allclose(found, np.sin(2 * np.pi * 50 * np.arange(1600) / RATE), atol=1e-4)


def test_a_recorded_word_lies_within_its_second() -> None:
    word = np.random.default_rng(0).uniform(-1, 1, 6000).astype(np.float32)
    for seed in range(20):
        second = rooms.record(word, np.random.default_rng(seed))
        assert (second.shape, second.dtype) == ((RATE,), np.float32)
        assert np.isfinite(second).all()
        assert np.array_equal(second, rooms.record(word, np.random.default_rng(seed)))
    long = rooms.record(np.ones(40000, np.float32), np.random.default_rng(0))
    assert long.shape == (RATE,)
    assert np.abs(rooms.noise(np.random.default_rng(0))).max() == 1


def test_words_are_spoken_by_other_people_in_the_test() -> None:
    assert not set(espeak.SPEAKERS["train"]) & set(espeak.SPEAKERS["test"])


def test_espeak_says_words_the_same_way_again() -> None:
    need_command("espeak-ng", "espeak-ng")
    first = espeak.speak("yes", "train", np.random.default_rng(3))
    assert 0.1 * RATE < len(first) < 1.5 * RATE
    assert np.array_equal(first, espeak.speak("yes", "train", np.random.default_rng(3)))
    assert not np.array_equal(first[:500], espeak.speak("yes", "test", np.random.default_rng(3))[:500])


def test_synthetic_items_are_balanced_and_vary_by_epoch_alone() -> None:
    need_command("espeak-ng", "espeak-ng")
    train = dataset.SpokenWords("train")
    assert np.bincount([train[index][1] for index in range(24)]).tolist() == [2] * 12
    item = train[9][0]
    assert (item.shape, item.dtype) == ((1, 49, 10), np.float32)
    assert np.array_equal(item, train[9][0])
    train.epoch = 1
    assert not np.array_equal(item, train[9][0])
    assert len(train) == 4800
    assert len(dataset.SpokenWords("test")) == 600
    with pytest.raises(IndexError):
        train[4800]


def test_without_espeak_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: None)
    with pytest.raises(UserError) as refused:
        espeak.speak("yes", "train", np.random.default_rng(0))
    assert str(refused.value) == "espeak-ng: is not installed; install it: apt-get install espeak-ng"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A little of Speech Commands."""
    noise = np.random.default_rng(0)
    listed = []
    for word in ("yes", "no", "cat", "dog"):
        for number in range(6):
            write_wav(tmp_path / word / f"{number}.wav", noise.uniform(-0.3, 0.3, 12000 + number))
        listed.append(f"{word}/5.wav")
    write_wav(tmp_path / "_background_noise_/tap.wav", noise.uniform(-1, 1, 5 * RATE))
    (tmp_path / "testing_list.txt").write_text("\n".join(listed) + "\n")
    return tmp_path


def test_speech_commands_gives_both_splits(commands: Path) -> None:
    train, test = (dataset.SpokenWords(split, commands) for split in ("train", "test"))
    assert np.bincount([train[index][1] for index in range(len(train))], minlength=12).tolist() == [
        0, 0, 0, 5, 0, 0, 0, 0, 0, 5, 1, 1,
    ]  # fmt: skip
    assert [test[index][1] for index in range(len(test))] == [3, 9, 11, 10]
    train.set_epoch(0)
    before = train[0][0]
    train.set_epoch(1)
    assert not np.array_equal(before, train[0][0])
    assert np.array_equal(test[0][0][0], features.cepstrum(recordings.read_second(commands / "no/5.wav")))


def test_speech_commands_without_a_part_is_refused(commands: Path) -> None:
    (commands / "_background_noise_/tap.wav").unlink()
    with pytest.raises(UserError) as refused:
        dataset.SpokenWords("train", commands)
    assert str(refused.value) == f"{commands}: has no _background_noise_/*.wav; unpack all of Speech Commands"
    (commands / "testing_list.txt").unlink()
    with pytest.raises(UserError) as refused:
        dataset.SpokenWords("train", commands)
    fault = "has neither samples.npz nor testing_list.txt; name the folder of Speech Commands"
    assert str(refused.value) == f"{commands}: {fault}"


def test_recordings_of_another_form_are_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.zeros(100), 8000)
    (tmp_path / "b.wav").write_bytes(b"RIFF")
    with wave.open(str(tmp_path / "c.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(400))
    form = "convert it to one of 16 bits at 16000 Hz"
    for name, fault in (
        ("a", f"has 1 channels of 16 bits at 8000 Hz; {form}"),
        ("b", "is not a WAV file; remove it"),
        ("c", f"has 2 channels of 16 bits at 16000 Hz; {form}"),
    ):
        with pytest.raises(UserError) as refused:
            recordings.read_second(tmp_path / f"{name}.wav")
        assert str(refused.value) == f"{tmp_path}/{name}.wav: {fault}"


def test_the_runners_samples_are_the_test(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(-128, 128, (5, 49, 10, 1)).astype(np.int8)
    np.savez(tmp_path / "samples.npz", x=x, y=np.arange(5))
    test = dataset.SpokenWords("test", tmp_path)
    scale, zero_point = test.input_quantization
    item, label = test[3]
    assert label == 3
    assert np.array_equal(np.round(item[0] / scale + zero_point), x[3, :, :, 0])
    assert test.metric([np.eye(12)[[0, 1, 2, 0, 0]]]) == pytest.approx(0.6)
    assert len(dataset.SpokenWords("train", tmp_path)) == 4800


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"x": np.zeros((2, 49, 10, 1), np.float32), "y": np.zeros(2)}, "x is float32 (2, 49, 10, 1)"),
        ({"x": np.zeros((2, 49, 10), np.int8), "y": np.zeros(2)}, "x is int8 (2, 49, 10)"),
    ],
)
def test_other_samples_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], fault: str) -> None:
    file = tmp_path / "samples.npz"
    np.savez(file, **arrays)
    with pytest.raises(UserError) as refused:
        recordings.read_features(file, 1.0, 0)
    cure = "it must be int8 (N, 49, 10, 1), as the reference model takes it"
    assert str(refused.value) == f"{file}: {fault}; {cure}"
    file.write_text("nothing")
    with pytest.raises(UserError) as refused:
        recordings.read_features(file, 1.0, 0)
    assert str(refused.value) == f"{file}: has no arrays x and y; take the samples of MLPerf Tiny's runner"
