"""Which runs share a folder for checkpoints: only those that would train the same weights into the same file."""

from dataclasses import replace

import msgspec
import pytest

from nnrules.catalog import identity, stages
from nnrules.catalog.stages import TrainOptions
from nnrules.stages.runner import Request

TWO = "class A:\n    pass\n\n\nclass B:\n    pass\n"


@pytest.fixture
def request_(tmp_path, monkeypatch) -> Request:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "network.py").write_text(TWO)
    (tmp_path / "other.py").write_text(TWO)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/1.txt").write_text("1")
    inputs = {"network": ["network.py:A"], "data": ["data"]}
    return Request("train", "first", "", TrainOptions(), inputs, {"weights": "build/w.safetensors"})


def folder(request_: Request) -> str:
    """Of a run like this one that starts now."""
    return replace(request_).checkpoints.name


@pytest.mark.parametrize(
    "change",
    [
        {"model": "second"},
        {"target": "cortex-m7"},
        {"options": TrainOptions(epochs=3)},
        {"inputs": {"network": ["network.py:B"], "data": ["data"]}},
        {"inputs": {"network": ["other.py:A"], "data": ["data"]}},
        {"inputs": {"network": ["network.py:A"]}},
        {"outputs": {"weights": "other_build/w.safetensors"}},
    ],
)
def test_another_run_has_another_folder(request_, change):
    assert folder(replace(request_, **change)) != folder(request_) == folder(request_)


def test_other_versions_have_another_folder(request_, monkeypatch):
    before = folder(request_)
    with monkeypatch.context() as patch:
        patch.setattr(identity, "installed_versions", lambda: {"torch": "0.1"})
        assert folder(request_) != before
    with monkeypatch.context() as patch:
        known = stages.STAGES["train"]
        patch.setitem(stages.STAGES, "train", msgspec.structs.replace(known, version=known.version + 1))
        assert folder(request_) != before


def test_other_sources_have_another_folder(request_, tmp_path, monkeypatch):
    before = folder(request_)
    (tmp_path / "network.py").write_text(TWO.replace("pass", "..."))
    changed = folder(request_)
    assert changed != before
    module = tmp_path / "train.py"
    module.write_text("A = 1\n")
    monkeypatch.setattr(identity, "python_files", lambda *_: [module])
    before = folder(request_)
    module.write_text("A = 2\n")
    assert folder(request_) != before


def test_other_data_has_another_folder(request_, tmp_path):
    before = folder(request_)
    (tmp_path / "data/1.txt").rename(tmp_path / "data/2.txt")
    assert folder(request_) != before
