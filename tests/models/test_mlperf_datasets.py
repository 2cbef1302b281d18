"""The data sets of MLPerf Tiny's models, from small folders in their public layouts."""

import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnrules.error import UserError
from tests.models.modules import module_of

RATE = 16000
ic, vww, ad = (module_of(name, "dataset") for name in ("ic", "vww", "ad"))


def write_wav(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """Three pictures a file: the class, then a plane of each colour."""
    for number, name in enumerate([f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]):
        planes = np.repeat(np.array([10, 20, 30], np.uint8), 1024)
        records = [np.concatenate([[(number + index) % 10], planes + index]) for index in range(3)]
        (tmp_path / f"{name}.bin").write_bytes(np.array(records, np.uint8).tobytes())
    return tmp_path


def test_cifar_has_planes_and_classes(cifar: Path) -> None:
    test = ic.Cifar10("test", cifar)
    picture, label = test[1]
    assert len(test) == 3
    assert (picture.shape, picture.dtype, label) == ((3, 32, 32), np.float32, 6)
    assert np.array_equal(np.round(picture[:, 0, 0] * 255), [11, 21, 31])
    answers = np.eye(10)[[5, 6, 0]]
    assert test.metric([answers]) == pytest.approx(2 / 3)


def test_training_pictures_of_cifar_vary_by_epoch_alone(cifar: Path) -> None:
    train = ic.Cifar10("train", cifar)
    assert len(train) == 15
    first = [train[index][0] for index in range(15)]
    assert all(np.array_equal(one, train[index][0]) for index, one in enumerate(first))
    train.set_epoch(1)
    assert any(not np.array_equal(one, train[index][0]) for index, one in enumerate(first))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "has 0 bytes, which is no number of pictures of 3,073; take the binary version"),
        (b"\x00" * 3072, "has 3,072 bytes, which is no number of pictures of 3,073; take the binary version"),
        (b"\x0a" + bytes(3072), "has a class 10; take the binary version of CIFAR-10"),
    ],
)
def test_what_is_not_cifar_is_refused(cifar: Path, content: bytes, fault: str) -> None:
    (cifar / "test_batch.bin").write_bytes(content)
    with pytest.raises(UserError) as refused:
        ic.Cifar10("test", cifar)
    assert str(refused.value) == f"{cifar}/test_batch.bin: {fault}"


def test_a_missing_file_of_cifar_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        ic.Cifar10("test", tmp_path)
    cure = "unpack cifar-10-binary.tar.gz and name its folder"
    assert str(refused.value) == f"{tmp_path}/test_batch.bin: there is no such file; {cure}"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ic.Cifar10, "Cifar10: needs its pictures; name the folder of the binary version: data=PATH"),
        (vww.PersonPictures, "PersonPictures: needs its pictures; name their folder: data=PATH"),
        (ad.MachineSounds, "MachineSounds: needs its recordings; name the folder of one machine: data=PATH"),
    ],
)
def test_without_data_there_is_nothing(kind: type, text: str) -> None:
    with pytest.raises(UserError) as refused:
        kind("train")
    assert str(refused.value) == text


@pytest.fixture
def persons(tmp_path: Path) -> Path:
    for level, name in ((50, "non_person"), (200, "person")):
        (tmp_path / name).mkdir()
        for number in range(40):
            Image.new("RGB", (96, 96), (level, level // 2, 0)).save(tmp_path / name / f"{number}.jpg", quality=95)
    return tmp_path


def test_persons_are_told_from_others_and_split_by_name(persons: Path) -> None:
    train, test = vww.PersonPictures("train", persons), vww.PersonPictures("test", persons)
    assert len(train) + len(test) == 80
    assert 0 < len(test) < 20
    assert not set(train.files) & set(test.files)
    for index in range(len(test)):
        picture, label = test[index]
        assert (picture.shape, picture.dtype) == ((3, 96, 96), np.float32)
        assert abs(picture[0].mean() * 255 - (200 if label else 50)) < 6
    assert train[0][0].shape == (3, 96, 96)
    assert test.metric([np.eye(2)[test.labels]]) == 1


def test_pictures_of_another_size_and_no_pictures_are_refused(persons: Path) -> None:
    Image.new("RGB", (90, 96)).save(persons / "person/0.jpg")
    (persons / "person/1.jpg").write_text("no picture")
    split = {name: "test" if vww._for_test(persons / "person" / name) else "train" for name in ("0.jpg", "1.jpg")}
    for name, fault in (("0.jpg", "is 90x96; make all pictures 96x96"), ("1.jpg", "is not a picture; remove it")):
        data = vww.PersonPictures(split[name], persons)
        with pytest.raises(UserError) as refused:
            data[data.files.index(persons / "person" / name)]
        assert str(refused.value) == f"{persons}/person/{name}: {fault}"
    with pytest.raises(UserError) as refused:
        vww.PersonPictures("test", persons / "person")
    cure = "lay them out as person/*.jpg and non_person/*.jpg"
    assert str(refused.value) == f"{persons}/person/non_person: has no pictures; {cure}"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Noise when all is in order; louder where it is not."""
    noise = np.random.default_rng(0).uniform(-1, 1, 10 * RATE)
    for folder, name, loudness in (
        ("train", "normal_0", 0.1), ("test", "normal_0", 0.1), ("test", "normal_1", 0.11), ("test", "anomaly_0", 0.5),
    ):  # fmt: skip
        write_wav(tmp_path / folder / f"{name}.wav", loudness * noise)
    return tmp_path


def test_machine_sounds_are_windows_of_five_frames(machine: Path) -> None:
    train = ad.MachineSounds("train", machine)
    assert len(train) == 196
    window, target = train[195]
    assert (window.shape, window.dtype) == ((640,), np.float32)
    assert np.array_equal(window, target)
    assert np.array_equal(train[0][0][128:256], train[1][0][:128])
    with pytest.raises(IndexError):
        train[196]


def test_the_louder_machine_is_the_anomaly(machine: Path) -> None:
    test = ad.MachineSounds("test", machine)
    quiet = np.stack([test[index][0] for index in range(196, 392)])  # normal_0, which comes after anomaly_0
    outputs = np.concatenate([quiet, quiet, quiet])
    assert test.metric([outputs]) == 1.0
    with pytest.raises(UserError) as refused:
        test.metric([outputs[:196]])
    fault = "needs both normal_*.wav and anomaly_*.wav; unpack the whole test set"
    assert str(refused.value) == f"{machine}/test: {fault}"


def test_recordings_that_are_none_are_refused(machine: Path) -> None:
    file = machine / "train/normal_0.wav"
    for write, fault in (
        (lambda: write_wav(file, np.zeros(20000), 8000), "has 16 bits at 8000 Hz; convert it to 16 bits at 16000 Hz"),
        (lambda: write_wav(file, np.zeros(20000)), "is shorter than 55 frames; remove it"),
        (lambda: file.write_bytes(b"RIFF"), "is not a WAV file; remove it"),
    ):
        write()
        with pytest.raises(UserError) as refused:
            ad.MachineSounds("train", machine)
        assert str(refused.value) == f"{file}: {fault}"
    with pytest.raises(UserError) as refused:
        ad.MachineSounds("train", machine / "train")
    cure = "lay them out as train/*.wav and test/*.wav"
    assert str(refused.value) == f"{machine}/train/train: has no recordings; {cure}"


def test_the_mel_scale_is_slaneys() -> None:
    """A tone of 1 kHz is loudest in the band around it: bands of 2595 / 128 or so mel, 66.7 Hz a mel below 1 kHz."""
    features = module_of("ad", "features")
    time = np.arange(RATE) / RATE
    frames = features.log_mel(np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    matrix = features.mel_matrix()
    assert frames.shape == (32, 128)
    assert frames[16].argmax() == matrix[:, 64].argmax()  # 64 * 16000 / 1024 = 1000 Hz
    assert np.allclose((matrix * (RATE / 1024)).sum(1)[20:], 1, atol=0.2)  # each triangle has area 1
