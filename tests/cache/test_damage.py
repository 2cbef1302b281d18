"""Bad and hostile things in the local store: a miss, one warning, and the next build repairs it."""

import os
import shutil
from pathlib import Path

import pytest

from nnrules.cache.action_result import decode, encode
from nnrules.cache.entry import BadEntry, Entry, Output
from tests.cache.box import Box, check, key, sha256

CONTENT = b"weights of a model"


def damaged_once(box: Box) -> None:
    """A miss that says what it did; after the step ran again it is a hit."""
    assert not box.hit(1, weights=CONTENT, log=b"log")
    assert len(box.warnings) <= 1
    box.keep(1, weights=CONTENT, log=b"log")
    assert box.hit(1, weights=CONTENT, log=b"log")


@pytest.mark.parametrize(
    "bad", [b"", CONTENT[:-1], CONTENT + b"!", CONTENT.swapcase()], ids=["empty", "short", "long", "other bytes"]
)
def test_a_content_that_is_another(box: Box, bad: bytes) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    box.blob(CONTENT).write_bytes(bad)
    damaged_once(box)
    assert box.warnings == [f"cache {box.store}: content {sha256(CONTENT)[:12]} has another SHA-256; removed"]


def test_bad_contents_and_entries_are_removed(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    box.blob(CONTENT).write_bytes(b"bad")
    assert not box.hit(1, weights=CONTENT, log=b"log")
    assert not box.blob(CONTENT).exists()
    assert not box.entry(1).exists()
    assert box.blob(b"log").exists()


def test_a_half_evicted_entry(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    box.blob(CONTENT).unlink()
    damaged_once(box)
    assert not box.warnings


@pytest.mark.parametrize("bad", [b"", b"<html>502</html>", b"\xff" * 50, None], ids=["empty", "html", "binary", "cut"])
def test_an_entry_that_is_none(box: Box, bad: bytes | None) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    box.entry(1).write_bytes(box.entry(1).read_bytes()[:-9] if bad is None else bad)
    damaged_once(box)
    assert box.warnings[0].startswith(f"cache {box.store}: entry {key(1)[:12]}: ")


def test_every_cut_of_an_entry_is_a_miss(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    whole = box.entry(1).read_bytes()
    metadata = whole.index(b"nnrules") - 4  # where it starts; without it the entry lacks only its seconds
    for end in range(metadata):
        box.entry(1).parent.mkdir(exist_ok=True)
        box.entry(1).write_bytes(whole[:end])
        assert not box.hit(1, weights=CONTENT, log=b"log"), end


def test_the_entry_of_another_step(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    box.keep(2, weights=b"others", log=b"log")
    shutil.copy(box.entry(2), box.entry(1))
    damaged_once(box)
    assert box.warnings == [f"cache {box.store}: entry {key(1)[:12]}: the entry of another key; removed"]


HOSTILE = {
    "parent folder": Output("../weights", sha256(CONTENT), len(CONTENT)),
    "absolute": Output("/etc/passwd", sha256(CONTENT), len(CONTENT)),
    "folder": Output("a/weights", sha256(CONTENT), len(CONTENT)),
    "backslash": Output("a\\weights", sha256(CONTENT), len(CONTENT)),
    "dots": Output("..", sha256(CONTENT), len(CONTENT)),
    "null byte": Output("weights\0", sha256(CONTENT), len(CONTENT)),
    "no name": Output("", sha256(CONTENT), len(CONTENT)),
    "digest with a path": Output("weights", "../" * 20 + "etcx", len(CONTENT)),
    "capital digest": Output("weights", sha256(CONTENT).upper(), len(CONTENT)),
    "no digest": Output("weights", "", len(CONTENT)),
    "terabytes": Output("weights", sha256(CONTENT), 1 << 40),
    "below zero": Output("weights", sha256(CONTENT), -1 & 0xFFFF_FFFF_FFFF_FFFF),
    "wrong size": Output("weights", sha256(CONTENT), len(CONTENT) - 1),
    "empty but named": Output("weights", sha256(CONTENT), 0),
    "duplicate": Output("log", sha256(CONTENT), len(CONTENT)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_entry(box: Box, case: str) -> None:
    """Whatever it claims: a miss, nothing is written outside, and it can be repaired."""
    box.keep(1, weights=CONTENT, log=b"log")
    outside = sorted(path for path in box.top.rglob("*") if box.store not in path.parents)
    entry = Entry((HOSTILE[case], Output("log", sha256(b"log"), 3)), 1.0)
    box.entry(1).write_bytes(encode(key(1), entry))
    cache, files = box.cache(), box.wanted("weights", "log")
    assert cache.restore(key(1), files) is None
    shutil.rmtree(files["log"].parents[1], ignore_errors=True)
    assert sorted(path for path in box.top.rglob("*") if box.store not in path.parents) == outside
    assert not (box.warnings and case == "terabytes")
    damaged_once(box)


@pytest.mark.parametrize("number", [3, 10, 11, 12])
def test_an_entry_with_links_or_folders_is_refused(number: int) -> None:
    data = encode(key(1), Entry((Output("weights", sha256(b"w"), 1),), 1.0))
    with pytest.raises(BadEntry):
        decode(key(1), data + bytes([number << 3 | 2, 0]))


def test_a_failed_step_is_refused() -> None:
    data = encode(key(1), Entry((Output("weights", sha256(b"w"), 1),), 1.0))
    with pytest.raises(BadEntry, match="a step that failed"):
        decode(key(1), data + bytes([4 << 3, 1]))


def test_an_entry_of_gigabytes_is_not_read(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    os.truncate(box.entry(1), 1 << 34)
    damaged_once(box)
    assert box.warnings == [f"cache {box.store}: entry {key(1)[:12]}: {1 << 34} bytes; removed"]


def test_a_content_of_gigabytes_is_not_read(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    os.truncate(box.blob(CONTENT), 1 << 34)
    damaged_once(box)


def test_a_link_is_not_followed(box: Box) -> None:
    """Not for a content, not for an entry, not for a folder; even where it leads to the right bytes."""
    box.keep(1, weights=CONTENT, log=b"log")
    for path in (box.blob(CONTENT), box.entry(1), box.blob(CONTENT).parent, box.store / "ac"):
        moved = box.top / "moved"
        path.rename(moved)
        path.symlink_to(moved)
        assert not box.hit(1, weights=CONTENT, log=b"log"), path
        path.unlink(missing_ok=True)
        if path.exists():
            shutil.rmtree(path)
        moved.rename(path)
        box.keep(1, weights=CONTENT, log=b"log")


def test_a_store_is_not_written_through_a_link(box: Box) -> None:
    outside = box.top / "outside"
    outside.mkdir()
    box.store.mkdir()
    (box.store / "cas").symlink_to(outside)
    box.keep(1, weights=CONTENT)
    assert not list(outside.iterdir())
    assert box.warnings == [
        f"cache {box.store}: cannot be written (Not a directory); this build keeps nothing more there"
    ]


def test_a_pipe_does_not_hang_the_build(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    for path in (box.blob(CONTENT), box.entry(1)):
        path.unlink()
        os.mkfifo(path)
    damaged_once(box)


def test_a_folder_in_the_place_of_a_content(box: Box) -> None:
    box.keep(1, weights=CONTENT, log=b"log")
    box.blob(CONTENT).unlink()
    box.blob(CONTENT).mkdir()
    assert not box.hit(1, weights=CONTENT, log=b"log")
    box.keep(1, weights=CONTENT, log=b"log")
    assert box.hit(1, weights=CONTENT, log=b"log")


def test_a_target_that_is_a_folder(box: Box) -> None:
    """The destination cannot be written: a miss, and of the other outputs none stays."""
    box.keep(1, weights=CONTENT, log=b"log")
    files = box.wanted("weights", "log")
    files["log"].mkdir(parents=True)
    (files["log"] / "x").touch()
    assert box.cache().restore(key(1), files) is None
    assert not files["weights"].exists()
    assert sorted(path.name for path in files["log"].parent.iterdir()) == ["model.log"]


def test_damage_is_told_once(box: Box) -> None:
    for number in range(5):
        box.keep(number, weights=bytes([number]) * 9)
        box.blob(bytes([number]) * 9).write_bytes(b"bad")
    cache = box.cache()
    for number in range(5):
        files = box.wanted("weights")
        assert cache.restore(key(number), files) is None
        check(files, {})
    assert len(box.warnings) == 1
    assert cache.summary.text() == "cache: 0 hits, 5 misses, 5 damaged"


def test_a_folder_that_cannot_be_read(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.keep(1, weights=CONTENT)
    opened = os.open

    def refused(path: str | Path, flags: int, *more: int, **named: int) -> int:
        if path == "ac":
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", refused)
    assert not box.hit(1, weights=CONTENT)
