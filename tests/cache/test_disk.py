"""Full and read-only disks: one warning, and the build goes on."""

import errno
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from nnrules.cache import Cache, Settings, local
from tests.cache.box import Box, check, key, noise, temporaries
from tests.cache.disks import read_only_disk, small_disk


def full(box: Box) -> list[str]:
    """What is said where the store's disk is full."""
    text = "cannot be written (No space left on device); this build keeps nothing more there"
    return [f"cache {box.store}: {text}"]


def test_the_disk_of_the_store_is_full(box: Box) -> None:
    with small_disk(box.store, 200):
        cache, contents = box.cache(), [noise(60_000) for _ in range(6)]
        for number, content in enumerate(contents):
            cache.store(key(number), box.made(weights=content, log=content[:9]), 1.0)
        cache.close()
        assert box.warnings == full(box)
        assert not temporaries(box.store)
        hits = [box.hit(number, weights=content, log=content[:9]) for number, content in enumerate(contents)]
        assert hits == sorted(hits, reverse=True)
        assert 1 <= sum(hits) < 6
        assert box.warnings == full(box)


def test_the_disk_of_the_targets_is_full(box: Box) -> None:
    box.keep(1, weights=noise(100_000), log=b"log")
    with small_disk(box.top / "build", 64) as build:
        files = {"log": build / "log", "weights": build / "weights"}
        cache = box.cache()
        assert cache.restore(key(1), files) is None
        assert not list(build.iterdir())
        assert cache.summary.misses == 1
    assert not box.warnings


@pytest.mark.parametrize("written", [0, 1, 4096])
def test_a_write_that_fails_in_the_middle(box: Box, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """The same without a mount: each write of the store takes some bytes, and then none."""
    opened = os.fdopen

    class Full:
        def __init__(self, sink: BinaryIO) -> None:
            self.sink, self.left = sink, written

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.sink.close()

        def write(self, data: bytes) -> int:
            if not self.left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            taken = self.sink.write(bytes(data)[: self.left])
            self.left -= taken
            return taken

    def fdopen(handle: int, mode: str, buffering: int) -> BinaryIO | Full:
        file = opened(handle, mode, buffering)
        return Full(file) if "w" in mode else file  # type: ignore[arg-type]

    monkeypatch.setattr(local.os, "fdopen", fdopen)
    cache = box.cache()
    cache.store(key(1), box.made(weights=noise(10_000)), 1.0)
    cache.store(key(2), box.made(weights=noise(10_000)), 1.0)
    monkeypatch.undo()
    cache.close()
    assert box.warnings == full(box)
    assert not temporaries(box.store)
    assert not list(box.store.glob("ac/*/*"))


def test_a_store_on_a_read_only_disk(box: Box) -> None:
    box.keep(1, weights=b"good")
    box.keep(2, weights=b"fine")
    box.blob(b"fine").write_bytes(b"evil")
    with read_only_disk(box.store):
        cache, files = box.cache(), box.wanted("weights")
        assert cache.restore(key(1), files)
        check(files, {"weights": b"good"})
        assert cache.restore(key(2), box.wanted("weights")) is None
        cache.store(key(3), box.made(weights=b"new"), 1.0)
        cache.store(key(4), box.made(weights=b"new"), 1.0)
        cache.close()
    assert box.warnings[1:] == [
        f"cache {box.store}: cannot be written (Read-only file system); this build keeps nothing more there"
    ]


def test_a_store_that_may_not_be_created(tmp_path: Path) -> None:
    (tmp_path / "top").mkdir()
    warnings: list[str] = []
    with read_only_disk(tmp_path / "top"):
        cache = Cache(Settings(place="x", local=tmp_path / "top/store"), warnings.append)
        (tmp_path / "w").write_bytes(b"w")
        assert cache.restore(key(1), {"w": tmp_path / "restored"}) is None
        cache.store(key(1), {"w": tmp_path / "w"}, 1.0)
        cache.close()
    text = "cannot be written (Read-only file system); this build keeps nothing more there"
    assert warnings == [f"cache {tmp_path / 'top/store'}: {text}"]


def test_targets_on_a_read_only_disk(box: Box) -> None:
    box.keep(1, weights=b"w")
    (box.top / "out").mkdir()
    with read_only_disk(box.top / "out"):
        assert box.cache().restore(key(1), {"weights": box.top / "out/weights"}) is None
    assert not list((box.top / "out").iterdir())
    assert not box.warnings
