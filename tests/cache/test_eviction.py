"""The size cap: the least recently used goes, at little cost, whatever the clocks say."""

import os
import time
from pathlib import Path

import pytest

from nnrules.cache import eviction
from tests.cache.box import Box, key, noise, temporaries, usage

KB = 1024


def fill(box: Box, count: int, size: int = 40 * KB) -> list[bytes]:
    """Steps 0 to `count` - 1, each kept by a build of its own, a minute apart, the last one now."""
    contents = [noise(size) for _ in range(count)]
    for number, content in enumerate(contents):
        box.keep(number, weights=content)
        used = time.time() - 60 * (count - 1 - number)
        for path in (box.blob(content), box.entry(number)):
            os.utime(path, (used, used))
    return contents


def test_the_least_recently_used_goes_first(box: Box) -> None:
    contents = fill(box, 5)
    assert box.hit(0, weights=contents[0])  # used: goes last
    box.more["size"] = 170 * KB
    box.keep(9, weights=noise(10 * KB))
    eviction.evict(box.store, 170 * KB)
    assert usage(box.store) <= 170 * KB
    assert [box.hit(number, weights=contents[number]) for number in range(5)] == [True, False, False, True, True]


def test_a_build_keeps_the_store_below_its_cap(box: Box) -> None:
    box.more["size"] = 500 * KB
    for number in range(40):
        box.keep(number, weights=noise(40 * KB))
        assert usage(box.store) <= 500 * KB
    assert usage(box.store) > 300 * KB


def test_one_long_build_does_too(box: Box) -> None:
    cache = box.cache(size=500 * KB)
    for number in range(40):
        cache.store(key(number), box.made(weights=noise(40 * KB)), 1.0)
        assert usage(box.store) <= 500 * KB * 1.2
    cache.close()
    assert usage(box.store) <= 500 * KB


def test_what_is_larger_than_the_cap_is_not_kept(box: Box) -> None:
    box.more["size"] = 100 * KB
    box.keep(1, weights=noise(200 * KB))
    assert not box.store.exists()
    assert not box.warnings


def test_an_entry_that_is_too_large_for_one_build_stays_for_the_others(box: Box) -> None:
    content = noise(20 * KB)
    box.keep(1, weights=content)
    cache = box.cache(size=10 * KB)
    assert cache.lookup(key(1)) is None
    assert cache.restore(key(1), box.wanted("weights")) is None
    cache.close()
    assert not box.warnings
    assert box.hit(1, weights=content)


def test_the_store_is_not_scanned_by_every_build(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(box, 2)
    scans: list[Path] = []
    evict = eviction.evict
    monkeypatch.setattr(eviction, "evict", lambda top, cap: (scans.append(top), evict(top, cap)))
    for number in range(10, 20):
        box.keep(number, weights=noise(40 * KB))
    assert scans == []
    box.more["size"] = 600 * KB
    for number in range(20, 30):
        box.keep(number, weights=noise(40 * KB))
    assert 1 <= len(scans) <= 6
    scans.clear()
    monkeypatch.setattr(time, "time", lambda: (box.store / "ledger").stat().st_mtime + 3 * 24 * 3600)
    box.keep(30, weights=noise(10))
    assert len(scans) == 1


def test_a_build_that_stores_nothing_does_not_look(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = fill(box, 2)
    monkeypatch.setattr(eviction, "account", lambda *_: pytest.fail("looked"))
    assert box.hit(0, weights=contents[0])


@pytest.mark.parametrize("bad", [b"", b"nonsense\n", b"+-5\n", b"=99999 99999999999\n", b"+5\n\xff"])
def test_a_bad_ledger_leads_to_a_scan(box: Box, bad: bytes) -> None:
    contents = fill(box, 5)
    (box.store / "ledger").write_bytes(bad)
    box.more["size"] = 100 * KB
    box.keep(9, weights=b"small")
    assert usage(box.store) <= 100 * KB
    assert box.hit(4, weights=contents[4])


def test_a_ledger_that_is_a_link_is_replaced(box: Box) -> None:
    fill(box, 2)
    outside = box.top / "outside"
    outside.write_bytes(b"=1 1\n")
    (box.store / "ledger").unlink()
    (box.store / "ledger").symlink_to(outside)
    box.keep(9, weights=b"small")
    assert outside.read_bytes() == b"=1 1\n"


def test_times_in_the_future_do_not_pin_anything(box: Box) -> None:
    """Files of a machine whose clock was a year ahead: they count as used now, and then age like the others."""
    contents = fill(box, 5)
    future = time.time() + 365 * 24 * 3600
    os.utime(box.blob(contents[0]), (future, future))
    os.utime(box.entry(0), (future, future))
    eviction.evict(box.store, 10**9)
    assert box.blob(contents[0]).stat().st_mtime <= time.time()
    eviction.evict(box.store, 100 * KB)
    assert box.blob(contents[0]).exists()
    for number in range(10, 14):
        box.keep(number, weights=noise(40 * KB))
        for path in box.store.rglob("*"):
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
    eviction.evict(box.store, 100 * KB)
    assert not box.blob(contents[0]).exists()
    assert usage(box.store) <= 100 * KB


def test_a_clock_that_went_back(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything seems to be of the future, the ledger too: hits go on, and the cap holds."""
    contents = fill(box, 5)
    past = time.time() - 10 * 365 * 24 * 3600
    monkeypatch.setattr(time, "time", lambda: past)
    assert box.hit(4, weights=contents[4])
    box.more["size"] = 100 * KB
    box.keep(9, weights=noise(40 * KB))
    assert usage(box.store) <= 100 * KB
    assert not box.warnings


def test_an_interrupted_eviction(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after any number of removals: what is there is a hit or a miss, and the next build finishes the job."""
    contents = fill(box, 6)
    removed, remove = 0, eviction._remove

    def killed(path: str) -> None:
        nonlocal removed
        if removed == 3:
            raise KeyboardInterrupt
        removed += 1
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(eviction, "_remove", killed)
        with pytest.raises(KeyboardInterrupt):
            eviction.evict(box.store, 100 * KB)
    hits = [box.hit(number, weights=contents[number]) for number in range(6)]
    assert hits == sorted(hits)
    assert hits[5]
    box.more["size"] = 100 * KB
    box.keep(9, weights=noise(10 * KB))
    assert usage(box.store) <= 100 * KB


def test_temporaries_of_killed_builds_go(box: Box) -> None:
    fill(box, 1)
    old, new, future = (box.store / f"cas/.partial-1-{name}" for name in ("old", "new", "future"))
    ledger = box.store / ".partial-2"
    for path in (old, new, future, ledger):
        path.write_bytes(b"half")
    for path in (old, ledger):
        os.utime(path, (time.time() - 7200,) * 2)
    os.utime(future, (time.time() + 7200,) * 2)
    eviction.evict(box.store, 10**9)
    assert sorted(temporaries(box.store)) == sorted([new, future])
    assert future.stat().st_mtime <= time.time()


def test_eviction_touches_nothing_else(box: Box) -> None:
    """Not the user's own files, not what links lead to."""
    fill(box, 2)
    outside = box.top / "outside"
    outside.mkdir()
    (outside / ("a" * 64)).write_bytes(b"precious")
    (box.store / "cas/zz").symlink_to(outside)
    (box.store / "cas/README").write_text("kept")
    (box.store / "notes").write_text("kept")
    (box.store / "cas/00").mkdir(exist_ok=True)
    (box.store / "cas/00" / ("0" * 64)).symlink_to(outside / ("a" * 64))
    eviction.evict(box.store, 0)
    assert (outside / ("a" * 64)).read_bytes() == b"precious"
    assert (box.store / "cas/README").exists()
    assert (box.store / "notes").exists()
    assert usage(box.store) == len(b"precious")  # through the link


def test_a_store_that_is_a_link_to_elsewhere_is_not_scanned(box: Box) -> None:
    outside = box.top / "outside"
    (outside / "aa").mkdir(parents=True)
    (outside / "aa" / ("a" * 64)).write_bytes(b"precious")
    box.store.mkdir()
    (box.store / "cas").symlink_to(outside)
    eviction.evict(box.store, 0)
    assert (outside / "aa" / ("a" * 64)).exists()
    assert len(list(outside.iterdir())) == 1


def test_files_that_others_remove_meanwhile(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another build's eviction runs between the listing of a folder and the look at its files."""
    fill(box, 4)
    listed = eviction._entries

    def removed(folder: Path) -> list["os.DirEntry[str]"]:
        found = listed(folder)
        for each in found:
            if each.is_file() and len(each.name) == 64:
                Path(each.path).unlink()
        return found

    with monkeypatch.context() as patch:
        patch.setattr(eviction, "_entries", removed)
        eviction.evict(box.store, 100 * KB)
    box.keep(9, weights=b"w")
    assert box.hit(9, weights=b"w")
    assert not box.warnings


def test_a_file_that_cannot_be_removed_does_not_stop_the_others(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another user's, say."""
    contents, remove = fill(box, 5), eviction._remove

    def refused(path: str) -> None:
        if Path(path) == box.blob(contents[0]):
            raise PermissionError
        remove(path)

    monkeypatch.setattr(eviction, "_remove", refused)
    eviction.evict(box.store, 100 * KB)
    assert usage(box.store) <= 100 * KB
    assert box.blob(contents[0]).exists()
    assert box.hit(4, weights=contents[4])
