"""The composed scenes: what they are made of, and that they repeat."""

import numpy as np
import pytest
import scenes
from dataset import FaceScenes, grid_target
from scenes import BACKGROUNDS, load_sources


def test_training_and_test_share_no_face_no_non_face_and_no_photograph():
    train, test = load_sources("train"), load_sources("test")
    assert not set(BACKGROUNDS["train"]) & set(BACKGROUNDS["test"])
    for one, other in ((train.faces, test.faces), (train.others, test.others)):
        assert not {crop.tobytes() for crop in one} & {crop.tobytes() for crop in other}
    assert len(test.faces) >= 30
    assert len(train.faces) + len(test.faces) == 100


@pytest.mark.parametrize("name", ["astronaut", "camera", "coins"])
def test_photographs_with_unlabelled_people_are_left_out(name):
    assert not [path for paths in BACKGROUNDS.values() for path in paths if name in path]


def test_a_fifth_of_the_test_scenes_is_empty_of_faces_and_holds_a_non_face(monkeypatch):
    asked = []

    def compose(sources, rng, faces, others, augment):
        asked.append((faces, others))
        return np.zeros((96, 96), np.float32), np.zeros((0, 4), np.float32)

    monkeypatch.setattr("dataset.compose", compose)
    data = FaceScenes("test")
    for index in range(len(data)):
        data.scene(index)
    empty = [others for faces, others in asked if faces == 0]
    assert len(data) == 500
    assert len(empty) == 100
    assert min(empty) >= 1


def test_faces_lie_inside_the_scene_at_the_stated_sizes():
    boxes = np.concatenate([FaceScenes("test").scene(index)[1] for index in range(60)])
    assert boxes.min() >= 0
    assert boxes.max() <= 96
    sizes = boxes[:, 2:] - boxes[:, :2]
    assert sizes.min() >= scenes.SMALLEST
    assert sizes.max() <= scenes.LARGEST


def test_pixels_are_eight_bits_as_the_input_quantization_says():
    scale, zero_point = FaceScenes.input_quantization
    for split in ("train", "test"):
        picture, target = FaceScenes(split)[3]
        steps = picture.astype(np.float64) / scale + zero_point
        assert picture.shape == (1, 96, 96)
        assert target.shape == (5, 12, 12)
        assert np.abs(steps - np.round(steps)).max() < 1e-4
        assert steps.min() >= -128
        assert steps.max() <= 127.001


def test_training_scenes_follow_from_seed_epoch_and_index():
    def picture(seed, epoch, index):
        data = FaceScenes("train", seed=seed)
        data.set_epoch(epoch)
        return data[index][0].tobytes()

    assert picture(1, 2, 3) == picture(1, 2, 3)
    assert len({picture(1, 2, 3), picture(2, 2, 3), picture(1, 3, 3), picture(1, 2, 4)}) == 4


def test_test_scenes_do_not_change_with_the_epoch():
    data = FaceScenes("test", seed=5)
    before = data[7][0]
    data.set_epoch(9)
    assert np.array_equal(before, data[7][0])


def test_the_dataset_ends():
    with pytest.raises(IndexError):
        FaceScenes("test", length=5)[5]


@pytest.mark.parametrize("size", [18, 31, 56])
def test_every_face_has_a_cell_that_must_find_it(size):
    for at in range(0, 96 - size, 3):
        target = grid_target(np.array([[at, at, at + size, at + size]], np.float32))
        assert (target[0] == 1).any()
        assert (target[1:, target[0] == 1] == np.array([[at], [at], [at + size], [at + size]])).all()


def test_the_metric_is_one_for_a_network_that_is_always_right():
    data = FaceScenes("test", length=20)
    outputs = np.stack([perfect(data.scene(index)[1]) for index in range(20)])
    assert data.metric([outputs]) == pytest.approx(1.0)
    outputs[:, 0] = -8
    assert data.metric([outputs]) == 0.0


def perfect(boxes):
    """The network output whose decoding gives exactly `boxes`: one certain cell each."""
    output = np.zeros((5, 12, 12), np.float32)
    output[0] = -8
    for left, top, right, bottom in boxes:
        x, y = (left + right) / 2, (top + bottom) / 2
        column, row = min(int(x // 8), 11), min(int(y // 8), 11)
        place = ((x - column * 8 - 4) / 8, (y - row * 8 - 4) / 8, (right - left - 32) / 8, (bottom - top - 32) / 8)
        output[:, row, column] = (8, *place)
    return output


def test_picture_shows_the_scene_twice(tmp_path):
    from PIL import Image

    data = FaceScenes("test")
    path = tmp_path / "faces.png"
    data.picture(0, [np.zeros((5, 12, 12), np.int8)], [(0.05, 127)], "face 0: x=1 y=20 w=30 h=40 score=9\n", path)
    with Image.open(path) as sheet:
        assert sheet.size == (2 * 384 + 4, 384)
        right = np.asarray(sheet)[:, 388:]
    assert (right[80, 4 : 4 + 120] == (0, 255, 0)).all()
