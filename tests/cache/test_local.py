"""The local store: what goes in comes out, once for all outputs of a step."""

import os
from pathlib import Path

import pytest

from nnrules.cache import Cache, Settings
from nnrules.cache.entry import EMPTY
from tests.cache.box import Box, check, key, noise, sha256, temporaries


def test_all_outputs_come_back(box: Box) -> None:
    cache, files = box.cache(), box.wanted("weights", "log")
    cache.store(key(1), box.made(weights=b"w" * 3_000_000, log=b"l"), 2.5)
    restored = cache.restore(key(1), files)
    assert restored is not None
    assert (restored.remote, restored.entry.seconds) == (False, 2.5)
    check(files, {"weights": b"w" * 3_000_000, "log": b"l"})
    cache.close()
    assert cache.summary.text() == "cache: 1 hit, 0 misses, 2.5 s saved"
    assert not box.warnings
    assert not temporaries(box.store)


def test_an_unknown_key_is_a_miss(box: Box) -> None:
    cache, files = box.cache(), box.wanted("weights")
    assert cache.restore(key(1), files) is None
    assert cache.lookup(key(1)) is None
    check(files, {})
    assert cache.summary.text() == "cache: 0 hits, 1 miss"
    assert not box.warnings
    assert not box.store.exists()


def test_an_old_target_is_replaced_and_not_written_into(box: Box) -> None:
    box.keep(1, weights=b"new")
    elsewhere = box.top / "elsewhere"
    elsewhere.write_bytes(b"not ours")
    files = box.wanted("weights")
    files["weights"].parent.mkdir(parents=True)
    files["weights"].symlink_to(elsewhere)
    assert box.cache().restore(key(1), files)
    check(files, {"weights": b"new"})
    assert not files["weights"].is_symlink()
    assert elsewhere.read_bytes() == b"not ours"


def test_a_target_edited_in_place_leaves_the_store_as_it_was(box: Box) -> None:
    made = box.made(weights=b"right")
    cache, files = box.cache(), box.wanted("weights")
    cache.store(key(1), made, 1.0)
    assert cache.restore(key(1), files)
    for path in (made["weights"], files["weights"]):
        with path.open("r+b") as target:
            target.write(b"wrong")
    assert box.hit(1, weights=b"right")


def test_programs_stay_executable(box: Box) -> None:
    made = box.made(elf=b"\x7fELF", text=b"t")
    made["elf"].chmod(0o755)
    cache, files = box.cache(), box.wanted("elf", "text")
    cache.store(key(1), made, 1.0)
    assert cache.restore(key(1), files)
    umask = os.umask(0o022)
    os.umask(umask)
    assert files["elf"].stat().st_mode & 0o777 == 0o777 & ~umask
    assert files["text"].stat().st_mode & 0o777 == 0o666 & ~umask


def test_empty_files_need_no_content(box: Box) -> None:
    box.keep(1, weights=b"", log=b"")
    assert box.hit(1, weights=b"", log=b"")
    assert not box.blob(b"").exists()
    assert box.cache().blob(EMPTY, 0) == b""


def test_what_killed_builds_left_beside_a_target_is_cleared(box: Box) -> None:
    box.keep(1, weights=b"w")
    files = box.wanted("weights")
    left = files["weights"].parent / ".model.weights.partial"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"h")
    assert box.cache().restore(key(1), files)
    check(files, {"weights": b"w"})


def test_outputs_in_several_folders(box: Box) -> None:
    box.keep(1, weights=b"w", header=b"h")
    files = {"weights": box.top / "a/model.weights", "header": box.top / "b/c/model.h"}
    assert box.cache().restore(key(1), files)
    assert files["header"].read_bytes() == b"h"


def test_lookup_tells_what_restore_would_do(box: Box) -> None:
    box.keep(1, weights=b"www", log=b"l")
    entry = box.cache().lookup(key(1))
    assert entry is not None
    assert [(each.name, each.sha256, each.size) for each in entry.outputs] == [
        ("weights", sha256(b"www"), 3),
        ("log", sha256(b"l"), 1),
    ]
    assert entry.seconds == 2.5
    box.blob(b"l").unlink()
    assert box.cache().lookup(key(1)) is None


def test_a_blob_is_read_up_to_a_limit(box: Box) -> None:
    box.keep(1, report=b"r" * 100)
    cache = box.cache()
    assert cache.blob(sha256(b"r" * 100), 100) == b"r" * 100
    assert cache.blob(sha256(b"r" * 100), 99) is None
    assert cache.blob(sha256(b"other"), 100) is None
    assert cache.blob(sha256(b"r" * 100), 100) is not None  # one that is too large for the caller is not damaged
    assert not box.warnings


def test_other_outputs_than_the_entry_has_are_a_miss(box: Box) -> None:
    box.keep(1, weights=b"w")
    assert not box.hit(1, weights=b"w", log=b"l")
    assert not box.hit(1, log=b"l")


def test_read_only_changes_nothing(box: Box) -> None:
    box.keep(1, weights=b"good")
    box.keep(2, weights=b"fine")
    box.blob(b"fine").write_bytes(b"evil")
    os.utime(box.entry(1), (1, 1))
    before = {path: path.lstat().st_mtime_ns for path in box.store.rglob("*")}
    box.more["read_only"] = True
    cache = box.cache()
    cache.store(key(3), box.made(weights=noise(10)), 1.0)
    assert box.hit(1, weights=b"good")
    assert not box.hit(2, weights=b"fine")
    cache.close()
    assert {path: path.lstat().st_mtime_ns for path in box.store.rglob("*")} == before
    assert box.warnings == [f"cache {box.store}: content {sha256(b'fine')[:12]} has another SHA-256; ignored"]


def test_an_output_that_is_not_there_is_not_kept(box: Box) -> None:
    cache, made = box.cache(), box.made(weights=b"w")
    made["weights"].unlink()
    cache.store(key(1), made, 1.0)
    assert box.warnings == [f"cache {box.store}: {made['weights']}: No such file or directory; that step is not kept"]
    assert not box.entry(1).exists()


@pytest.mark.parametrize("bad", ["", "A" * 64, "0" * 63, "../" + "0" * 61])
def test_a_key_is_a_digest(box: Box, bad: str) -> None:
    with pytest.raises(ValueError, match="is no SHA-256"):
        box.cache().restore(bad, box.wanted("weights"))


@pytest.mark.parametrize("bad", ["", ".hidden", "a/b", "..", "a b", "ü", "x" * 129])
def test_a_name_is_a_name(box: Box, bad: str) -> None:
    with pytest.raises(ValueError, match="are names of outputs"):
        box.cache().store(key(1), {bad: Path("x")}, 1.0)


def test_importing_the_cache_loads_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ("httpx", "fsspec", "google.protobuf", "ssl", "asyncio", "rich", "http.client", "email")
    code = f"import sys, nnrules.cache; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_store_in_the_way_of_nothing(tmp_path: Path) -> None:
    """A place that cannot be a folder: every step is a miss, and there is one warning."""
    (tmp_path / "file").write_text("x")
    warnings: list[str] = []
    cache = Cache(Settings(place="x", local=tmp_path / "file/store"), warnings.append)
    output = tmp_path / "output"
    output.write_bytes(b"o")
    assert cache.restore(key(1), {"output": tmp_path / "restored"}) is None
    cache.store(key(1), {"output": output}, 1.0)
    cache.store(key(2), {"output": output}, 1.0)
    cache.close()
    text = "cannot be written (Not a directory); this build keeps nothing more there"
    assert warnings == [f"cache {tmp_path / 'file/store'}: {text}"]
