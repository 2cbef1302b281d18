"""Two builds at a time: in one build folder, and with one database of signatures."""

import fcntl
from pathlib import Path

import pytest
import SCons.SConsign

from nnrules.error import UserError
from nnrules.rules.lock import lock, lock_signatures
from tests.rules.project import Project

TAKEN = (
    ".nnrules: another build of this SConstruct is running, and both would write SCons's signatures; "
    "wait for it to end\n"
)


def test_a_lock_is_a_link_to_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("words")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(UserError) as raised:
        lock(tmp_path / "build")
    fault = "cannot be written (Too many levels of symbolic links); choose another folder"
    assert str(raised.value) == f"build_dir={tmp_path / 'build'}: {fault}"
    with pytest.raises(UserError):
        lock_signatures(tmp_path / "build", tmp_path / "other")
    assert (tmp_path / "victim").read_text() == "words"


def test_what_is_in_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("words")
    lock(tmp_path).close()
    assert (tmp_path / ".lock").read_text() == "words"


@pytest.mark.parametrize(
    ("database", "locked"),
    [
        (None, True),
        (".sconsign", True),
        ("{top}/build-of-another/.sconsign", True),
        ("{top}/build/.sconsign", False),
        ("{top}/build/deep/../signatures", False),
    ],
)
def test_a_database_outside_the_build_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str | None, locked: bool
) -> None:
    monkeypatch.setattr(SCons.SConsign, "DB_Name", database and database.format(top=tmp_path))
    held = lock_signatures(tmp_path / ".nnrules", tmp_path / "build")
    assert bool(held) == locked
    monkeypatch.setattr(SCons.SConsign, "ForDirectory", SCons.SConsign.DirFile)
    with held or lock(tmp_path / ".nnrules"), pytest.raises(UserError):
        lock_signatures(tmp_path / ".nnrules", tmp_path / "build")


def test_projects_with_one_database_build_one_after_the_other(project: Project) -> None:
    (project.top / ".nnrules").mkdir(exist_ok=True)
    with (project.top / ".nnrules/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert project.rebuild("model=tiny") == set()
        project.edit("SConstruct", "SConsignFile\\(project.database\\)\n", "")
        done = project.build("model=tiny", "build_dir=other")
        assert (done.status, done.stderr) == (2, TAKEN)
        assert project.build("-n", "model=tiny").status == 0
