"""The scenes beside the test split's."""

import sys
from pathlib import Path

import numpy as np
import pytest
from dataset import FaceScenes

from benchmarks import unseen
from tests.models.test_facedet_dataset import perfect


@pytest.mark.parametrize(("number", "index"), [(0, 3), (1, 0), (2, 499)])
def test_sets_follow_one_another(number: int, index: int) -> None:
    found, data = unseen.unseen(number), FaceScenes("test", length=2000)
    assert len(found) == len(FaceScenes("test"))
    for one, other in zip(found[index], data[500 * number + index], strict=True):
        assert np.array_equal(one, other)


def test_a_set_ends() -> None:
    with pytest.raises(IndexError):
        unseen.unseen(1)[500]


def test_the_metric_is_that_of_the_set() -> None:
    data = FaceScenes("test", length=520)
    outputs = np.stack([perfect(data.scene(500 + index)[1]) for index in range(20)])
    assert unseen.unseen(1).metric([outputs]) == pytest.approx(1.0)
    assert unseen.unseen(0).metric([outputs]) < 0.5


def test_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "facedet").mkdir()
    (tmp_path / "facedet/facedet.integer.onnx").touch()
    monkeypatch.setattr(sys, "argv", ["unseen", "--sets", "2", "--build", str(tmp_path)])
    monkeypatch.setattr(unseen, "unseen", lambda number: number)
    monkeypatch.setattr(unseen, "scores", lambda number, built: (number / 4, number / 8))
    unseen.main()
    assert capsys.readouterr().out.splitlines() == [
        "set 1: float 0.2500, integer 0.1250",
        "set 2: float 0.5000, integer 0.2500",
        "float: 0.3750, 0.2500 to 0.5000",
        "integer: 0.1875, 0.1250 to 0.2500",
    ]


def test_without_a_build_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["unseen", "--build", str(tmp_path)])
    with pytest.raises(SystemExit):
        unseen.main()
    assert f"there is no model in {tmp_path / 'facedet'}; run scons model=facedet" in capsys.readouterr().err
