"""`scons -h` lists what can be asked for."""

from pathlib import Path

from nnrules.catalog.toolchain import target_names
from tests.rules.project import Project


def test_help_lists_models_targets_and_options(tmp_path: Path) -> None:
    project = Project.create(tmp_path / "project")
    done = project.build("-h")
    assert done.status == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    words = {line[0] for line in lines if line}
    assert words >= {"tiny", "dense", "target", "model", "data", "build_dir", "train", "gate", *target_names()}
    assert "scons bench: seeded models beside other engines' figures (benchmarks/peers.toml)" in done.stdout
    assert "learning_rate=0.003," in done.stdout.split()
    assert " stream=None|auto|off, ram=None|least|little, ram_budget=None," in done.stdout
    assert not words & {"fit", "allot", "row", "study", "report"}, "the options of these are those of other stages"
    assert " layers={}," in done.stdout
    assert not (project.top / "build").exists()
