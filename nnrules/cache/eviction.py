"""The size cap of the local store: the least recently used files go first.

A scan of the store is rare. `ledger` holds one line for each build that stored something, "+<bytes>", appended whole by
one write; a scan replaces it by the true sum, "=<bytes> <time of the scan>". The sum errs high, as what is stored twice
counts twice, except for builds killed before their line was written and lines lost to a scan at the same moment; a scan
a day sets that right. Only the lines' sum above the cap leads to a scan otherwise.

Removing a file is always safe: an entry without one of its contents is a miss. So an eviction may be killed, and two
may run at once.
"""

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nnrules.cache.entry import is_digest
from nnrules.cache.local import CONTENTS, ENTRIES, TEMPORARY

KEPT = 0.9  # of the cap, after an eviction

_LEDGER = "ledger"
_LEDGER_LIMIT = 1 << 20  # bytes
_LINE = re.compile(rb"\+(\d{1,18})|=(\d{1,18}) (\d{1,12})")
_DAY, _ABANDONED, _SKEW = 24 * 3600, 3600, 60  # seconds
_BLOCK = 4096


class _File(NamedTuple):
    used: float
    size: int
    path: str


def account(top: Path, stored: int, cap: int) -> None:
    """Enter what was stored; evict where the store may have outgrown its cap. Raises OSError."""
    total, scanned = _ledger(top)
    if 0 <= time.time() - scanned < _DAY and total + stored <= cap:
        _append(top, f"+{stored}\n".encode())
    else:
        evict(top, cap)


def evict(top: Path, cap: int) -> None:
    """Scan; remove what killed builds left, and the least recently used files until the store is below its cap."""
    now = time.time()
    for folder in (top, top / CONTENTS):
        _drop_abandoned(folder, now)
    files = sorted(_files(top, now))
    total = sum(each.size for each in files)
    if total > cap:
        for each in files:
            if total <= cap * KEPT:
                break
            with suppress(OSError):
                _remove(each.path)
                total -= each.size
    temporary = top / f"{TEMPORARY}{os.urandom(8).hex()}"
    temporary.write_bytes(f"={total} {int(time.time())}\n".encode())
    os.replace(temporary, top / _LEDGER)


def _files(top: Path, now: float) -> Iterator[_File]:
    """Entries and contents by the time of their last use. Other files are not ours, links are not followed."""
    for kind in (ENTRIES, CONTENTS):
        for folder in _entries(top / kind):
            for each in _entries(Path(folder.path)):
                if is_digest(each.name) and each.is_file(follow_symlinks=False):
                    yield from _file(each, now)


def _file(entry: "os.DirEntry[str]", now: float) -> Iterator[_File]:
    """Itself; nothing where another build removed it since."""
    with suppress(OSError):
        state = entry.stat(follow_symlinks=False)
        size = -(-state.st_size // _BLOCK) * _BLOCK
        yield _File(_not_after(now, entry.path, state.st_mtime), size, entry.path)


def _not_after(now: float, path: str, used: float) -> float:
    """The time of use; one in the future is set to now, or a clock that was wrong once would keep the file for ever."""
    if used <= now + _SKEW:
        return used
    with suppress(OSError):
        os.utime(path, follow_symlinks=False)
    return now


def _drop_abandoned(folder: Path, now: float) -> None:
    """Remove the temporary files of builds that were killed: those that nobody has written to for a while."""
    for file in _entries(folder):
        if file.name.startswith(TEMPORARY) and file.is_file(follow_symlinks=False):
            with suppress(OSError):
                if _not_after(now, file.path, file.stat(follow_symlinks=False).st_mtime) < now - _ABANDONED:
                    Path(file.path).unlink()


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    """What is in a folder; nothing where it is none, or a link."""
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _remove(path: str) -> None:
    """Another build's eviction may be faster."""
    with suppress(FileNotFoundError):
        Path(path).unlink()


def _ledger(top: Path) -> tuple[int, int]:
    """Bytes in the store and when they were last counted; (0, 0), which leads to a scan, where that is not known."""
    try:
        with (top / _LEDGER).open("rb") as ledger:
            lines = ledger.read(_LEDGER_LIMIT).splitlines()
    except OSError:
        return 0, 0
    total, scanned = 0, 0
    for match in map(_LINE.fullmatch, lines):
        if match is None:
            return 0, 0
        total += int(match[1] or match[2])
        scanned = int(match[3] or scanned)
    return total, scanned


def _append(top: Path, line: bytes) -> None:
    handle = os.open(top / _LEDGER, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)
