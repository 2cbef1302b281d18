"""The local store as a build uses it: every fault is a miss, and one line for each kind of fault."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from nnrules.cache.entry import Entry, Output
from nnrules.cache.files import pieces
from nnrules.cache.local import CONTENTS, ENTRIES, Damaged, LocalStore
from nnrules.cache.settings import Settings
from nnrules.cache.summary import Tally

_LOOKS = 16  # how often the size of the store is looked at while it grows by its cap


class Keeper:
    """Once the store could not be written, it is not tried again in this build."""

    def __init__(self, settings: Settings, tally: Tally, warn: Callable[[str], None]) -> None:
        self._settings, self._tally, self._warn = settings, tally, warn
        self._store = LocalStore(settings.local, settings.size, settings.read_only)
        self._lock, self._warned = threading.Lock(), set[str]()
        self._stored = 0
        self.writable = not settings.read_only

    def entry(self, key: str) -> Entry | None:
        """The entry of a key."""
        try:
            return self._store.entry(key)
        except Damaged as fault:
            self._damage(fault)
            return None

    def complete(self, entry: Entry) -> bool:
        """Whether all contents of an entry are there, by their sizes."""
        return all(map(self._store.has, entry.outputs))

    def copy(self, output: Output, take: Callable[[bytes], None]) -> bool:
        """Hand a content on in pieces; False (after some pieces even) where it is not there or damaged."""
        return self._copy(output.sha256, output.size, output.size, take)

    def blob(self, sha256: str, limit: int) -> bytes | None:
        """A content of at most `limit` bytes."""
        data = bytearray()
        return bytes(data) if self._copy(sha256, None, limit, data.extend) else None

    def open(self, output: Output) -> BinaryIO | None:
        """A content as a file, not verified."""
        source = self._store.open(CONTENTS, output.sha256)
        return source if source and os.fstat(source.fileno()).st_size == output.size else None

    def keep(self, content: Iterable[bytes]) -> tuple[str, int] | None:
        """Take a content in; its SHA-256 and size, None where the store cannot be written."""
        kept: list[tuple[str, int]] = []
        self._write(lambda: kept.append(self._store.put(content)))
        return kept[0] if kept else None

    def keep_file(self, path: Path) -> tuple[str, int] | None:
        """The same for a file. Raises OSError where that cannot be opened."""
        with path.open("rb", buffering=0) as source:
            return self.keep(pieces(source))

    def keep_entry(self, key: str, entry: Entry) -> None:
        """Take an entry in, after its contents."""
        if self._write(lambda: self._store.put_entry(key, entry)):
            self.account(entry.size)

    def forget(self, key: str) -> None:
        """Remove an entry that lost a content."""
        self._store.discard(ENTRIES, key)

    def account(self, stored: int = 0) -> None:
        """Look at the size of the store, now and then while something is stored; 0: it is the last look."""
        with self._lock:
            self._stored += stored
            due = self._stored > (self._settings.size // _LOOKS if stored else 0)
            amount = self._stored if due else 0
            self._stored -= amount
        if due:
            from nnrules.cache.eviction import account

            self._write(lambda: account(self._settings.local, amount, self._settings.size))

    def say(self, kind: str, text: str) -> None:
        """Warn, once for each kind."""
        with self._lock:
            new = kind not in self._warned
            self._warned.add(kind)
        if new:
            self._warn(f"cache {self._settings.local}: {text}")

    def _copy(self, sha256: str, size: int | None, limit: int, take: Callable[[bytes], None]) -> bool:
        try:
            for piece in self._store.content(sha256, size, limit):
                take(piece)
        except FileNotFoundError:
            return False
        except Damaged as fault:
            self._damage(fault)
            return False
        return True

    def _write(self, change: Callable[[], object]) -> bool:
        """Whether the store could be changed."""
        if not self.writable:
            return False
        try:
            change()
        except OSError as fault:
            self.writable = False
            text = fault.strerror or type(fault).__name__
            self.say("write", f"cannot be written ({text}); this build keeps nothing more there")
            return False
        return True

    def _damage(self, fault: Damaged) -> None:
        self._tally.add(damaged=1)
        self.say("damage", f"{fault}; {'ignored' if self._settings.read_only else 'removed'}")
