"""Scenes of other brightness, and the table of what is found in them."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.brightness import BRIGHTNESS, COLUMNS, lit, table
from nnrules.stages.references import load_reference

TOP = Path(__file__).resolve().parents[2]


def test_pictures_times_their_brightness() -> None:
    plain, dark = lit("test", 1.0, 3), lit("test", 1 / 16, 3)
    assert plain.input_quantization == (1 / 255, -128)
    assert dark.input_quantization is None
    for index in range(3):
        np.testing.assert_array_equal(dark[index][0] * 16, plain[index][0])
        np.testing.assert_array_equal(dark[index][1], plain[index][1])


def test_each_training_scene_has_another_brightness_in_each_epoch() -> None:
    scenes, plain, found = lit("train"), lit("train", 1.0), []
    for epoch in (0, 1):
        scenes.set_epoch(epoch)
        plain.set_epoch(epoch)
        found += [float(scenes[index][0].sum() / plain[index][0].sum()) for index in range(8)]
    assert len(set(found)) == 16
    assert 1 / 16 <= min(found) < 1 / 4
    assert 1 < max(found) <= 4


def test_a_table_of_all_brightness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an untrained network, on a few scenes, static scales and formats from as few."""
    monkeypatch.setattr("benchmarks.brightness.SAMPLES", 4)
    network = load_reference(f"{TOP / 'models/facedet/network.py'}:FaceDet")()
    head, _, *rows = table(network, 4).splitlines()
    assert head == f"| brightness | {' | '.join(COLUMNS)} |"
    assert [re.sub(r"\d\.\d{3}", "n", row) for row in rows] == [f"| {name} | n | n | n | n |" for name in BRIGHTNESS]
