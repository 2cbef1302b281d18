"""The user's own pictures in WIDER FACE's layout."""

import numpy as np
import pytest
from dataset import FaceScenes
from folder import read_folder
from PIL import Image

from nnrules.error import UserError

LIST = """0--Parade/one.png
2
40 30 20 20 0 0 0 0 0 0
10 10 16 24 0 0 0 1 0 0
0--Parade/none.png
0
0 0 0 0 0 0 0 0 0 0
"""


@pytest.fixture
def folder(tmp_path):
    for part in ("train", "val"):
        pictures = tmp_path / f"WIDER_{part}/images/0--Parade"
        pictures.mkdir(parents=True)
        noise = np.random.default_rng(1).integers(0, 80, (90, 120, 3), np.uint8)
        noise[30:50, 40:60] = 255
        for name in ("one", "none"):
            Image.fromarray(noise).save(pictures / f"{name}.png")
        lists = tmp_path / "wider_face_split"
        lists.mkdir(exist_ok=True)
        (lists / f"wider_face_{part}_bbx_gt.txt").write_text(LIST)
    return tmp_path


@pytest.mark.parametrize("split", ["train", "test"])
def test_scenes_hold_the_face_where_the_box_says(folder, split):
    data = FaceScenes(split, data=folder)
    assert len(data) == 2
    for epoch in range(5):
        data.set_epoch(epoch)
        picture, boxes = data.scene(0)
        assert picture.shape == (96, 96)
        assert boxes.shape == (1, 4)
        left, top, right, bottom = np.round(boxes[0]).astype(int)
        assert 17 <= right - left <= 57
        assert picture[top + 1 : bottom - 1, left + 1 : right - 1].mean() > 0.9
        assert picture[(top + bottom) // 2, max(left - 4, 0) : left - 2].max(initial=0) < 0.5


def test_a_picture_without_faces_has_no_boxes(folder):
    picture, boxes = FaceScenes("test", data=folder).scene(1)
    assert picture.shape == (96, 96)
    assert boxes.shape == (0, 4)


def test_invalid_faces_are_skipped(folder):
    assert len(read_folder(folder, "test")[0].boxes) == 1


def test_a_missing_list(tmp_path):
    with pytest.raises(UserError) as error:
        FaceScenes("test", data=tmp_path)
    path = tmp_path / "wider_face_split/wider_face_val_bbx_gt.txt"
    assert str(error.value) == f"{path}: there is no such file; lay the pictures out like WIDER FACE"


def test_a_missing_picture(folder):
    (folder / "WIDER_val/images/0--Parade/none.png").unlink()
    with pytest.raises(UserError) as error:
        FaceScenes("test", data=folder)
    path = folder / "wider_face_split/wider_face_val_bbx_gt.txt"
    picture = folder / "WIDER_val/images/0--Parade/none.png"
    assert str(error.value) == f"{path}:5: there is no picture {picture}; add it or remove its lines"


@pytest.mark.parametrize(
    ("line", "text"), [(2, "two"), (3, "40 30 20"), (4, "a b c d")], ids=["count", "short", "not numbers"]
)
def test_a_line_that_is_no_box(folder, line, text):
    path = folder / "wider_face_split/wider_face_train_bbx_gt.txt"
    lines = LIST.splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines))
    with pytest.raises(UserError) as error:
        FaceScenes("train", data=folder)
    fault = "is not a line of WIDER FACE's list; write `x y width height` as whole numbers"
    assert str(error.value) == f"{path}:{line}: {fault}"
