"""Look a step up, restore its outputs, store them: on this machine first, then at the remote."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from nnrules.cache.entry import Entry, Output, is_digest, is_name
from nnrules.cache.files import Unwritable, digest_of, move_all, open_new, partial_folder, pieces, write_all
from nnrules.cache.local import CONTENTS, ENTRIES, Damaged, LocalStore
from nnrules.cache.settings import Settings
from nnrules.cache.summary import Summary, Tally

if TYPE_CHECKING:
    from nnrules.cache.remote import Remote

_LOOKS = 16  # how often the size of the store is looked at while it grows by its cap


class Restored(msgspec.Struct, frozen=True):
    """A hit. `remote`: whether anything had to be fetched; `seconds`: what restoring took."""

    entry: Entry
    remote: bool
    seconds: float


class Cache:
    """A cache cannot fail a build: what goes wrong is a miss, and `warn` gets one line for each kind of fault. For any
    number of threads."""

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        self._settings, self._warn = settings, warn
        self._local = LocalStore(settings.local, settings.size, settings.read_only)
        self._writable = not settings.read_only
        self._tally, self._lock = Tally(), threading.Lock()
        self._warned: set[str] = set()
        self._stored = 0
        self._remote = self._connect()

    @property
    def summary(self) -> Summary:
        """What it did so far."""
        return self._tally.now

    def lookup(self, key: str) -> Entry | None:
        """The entry of a key whose contents are there, as far as can be told without reading them."""
        entry = self._local_entry(_key(key))
        if entry and all(map(self._local.has, entry.outputs)):
            return entry
        return self._remote.entry(key) if self._remote else None

    def blob(self, digest: str, limit: int) -> bytes | None:
        """A content of at most `limit` bytes."""
        try:
            return b"".join(self._local.content(_key(digest), None, limit))
        except FileNotFoundError:
            pass
        except Damaged as fault:
            self._damage(fault)
        data = self._remote.content(digest, limit) if self._remote else None
        if data is not None:
            self._write(lambda: self._local.put([data]))
        return data

    def restore(self, key: str, files: Mapping[str, Path]) -> Restored | None:
        """Put the outputs of a step, by name, where they belong: all of them, verified, or none."""
        start = time.monotonic()
        for entry, remote in self._entries(_key(key)):
            fetched = self._gather(key, entry, remote, files)
            if fetched is not None:
                seconds = time.monotonic() - start
                hit = "hits_remote" if remote or fetched else "hits_local"
                self._tally.add(**{hit: 1, "seconds_saved": entry.seconds})
                return Restored(entry, remote or fetched, seconds)
        self._tally.add(misses=1)
        return None

    def store(self, key: str, files: Mapping[str, Path], seconds: float) -> None:
        """Keep the outputs of a step that succeeded and took `seconds`."""
        if not files or not all(map(is_name, files)):
            raise ValueError(f"not all of {sorted(files)} are names of outputs")
        if self._settings.read_only or not (self._writable or self._remote):
            return
        try:
            entry = self._keep(_key(key), files, seconds)
        except OSError as fault:
            self._say("outputs", f"{fault.filename}: {fault.strerror}; this step is not kept")
            return
        if entry and self._remote:
            self._remote.push(key, entry, lambda output: self._source(output, files[output.name]))

    def close(self) -> None:
        """Wait for pushes; keep the local store below its cap."""
        if self._remote:
            self._remote.close()
        self._account(0)

    def _connect(self) -> "Remote | None":
        if self._settings.url is None:
            return None
        from nnrules.cache.remote import Remote

        return Remote(self._settings, self._tally, self._warn)

    def _entries(self, key: str) -> Iterator[tuple[Entry, bool]]:
        """The entries of a key, and whether each comes from the remote."""
        local = self._local_entry(key)
        if local:
            yield local, False
        remote = self._remote.entry(key) if self._remote else None
        if remote and remote != local:
            yield remote, True

    def _local_entry(self, key: str) -> Entry | None:
        try:
            return self._local.entry(key)
        except Damaged as fault:
            self._damage(fault)
            return None

    def _gather(self, key: str, entry: Entry, remote: bool, files: Mapping[str, Path]) -> bool | None:
        """Restore an entry; whether contents were fetched for it. None: it cannot be had, or not be written."""
        if {output.name for output in entry.outputs} != set(files):
            return None
        try:
            with partial_folder(next(iter(files.values()))) as folder:
                missing = [output for output in entry.outputs if not self._copy(output, folder)]
                if missing and not self._fetch(missing, folder):
                    if not remote:
                        self._local.discard(ENTRIES, key)
                    return None
                if missing or remote:
                    self._keep_fetched(key, entry, [(each, folder / each.name) for each in missing])
                move_all((folder / name, final) for name, final in files.items())
        except Unwritable:
            return None
        return bool(missing)

    def _copy(self, output: Output, folder: Path) -> bool:
        """One output from the local store. Raises Unwritable."""
        with open_new(folder / output.name, output.executable) as sink:
            try:
                for piece in self._local.content(output.sha256, output.size, output.size):
                    write_all(sink, piece)
            except FileNotFoundError:
                return False
            except Damaged as fault:
                self._damage(fault)
                return False
        return True

    def _fetch(self, missing: Sequence[Output], folder: Path) -> bool:
        """The others from the remote. Raises Unwritable. The files are opened here and not where they are filled: a
        download that was given up must not create one in a folder that is in other hands by then."""
        if self._remote is None:
            return False
        return self._remote.fetch([(each, open_new(folder / each.name, each.executable)) for each in missing])

    def _keep_fetched(self, key: str, entry: Entry, fetched: Sequence[tuple[Output, Path]]) -> None:
        """What came from the remote is local the next time."""

        def keep() -> None:
            for _, path in fetched:
                with path.open("rb", buffering=0) as source:
                    self._local.put(pieces(source))
            self._local.put_entry(key, entry)

        if self._write(keep):
            self._account(sum(output.size for output, _ in fetched))

    def _keep(self, key: str, files: Mapping[str, Path], seconds: float) -> Entry | None:
        """The entry, kept locally if that can be; None where it is larger than the cap. Raises OSError for `files`."""
        known = {name: path.stat() for name, path in files.items()}
        if sum(state.st_size for state in known.values()) > self._settings.size:
            return None
        outputs = []
        for name, path in files.items():
            sha256, size = self._keep_file(path)
            outputs.append(Output(name, sha256, size, bool(known[name].st_mode & 0o100)))
        entry = Entry(tuple(outputs), max(0.0, seconds))
        if self._write(lambda: self._local.put_entry(key, entry)):
            self._account(entry.size)
        return entry

    def _keep_file(self, path: Path) -> tuple[str, int]:
        """SHA-256 and size of a file, which is in the local store then if that can be written. Raises OSError."""
        kept: list[tuple[str, int]] = []
        with path.open("rb", buffering=0) as source:
            self._write(lambda: kept.append(self._local.put(pieces(source))))
        return kept[0] if kept else digest_of(path)

    def _source(self, output: Output, path: Path) -> BinaryIO | None:
        """The content of an output, to be pushed: the local store's, else the file itself if it is still the same."""
        source = self._local.open(CONTENTS, output.sha256)
        if source is not None and os.fstat(source.fileno()).st_size == output.size:
            return source
        try:
            return path.open("rb", buffering=0) if digest_of(path) == (output.sha256, output.size) else None
        except OSError:
            return None

    def _account(self, stored: int) -> None:
        """Look at the size of the store now and then (0: at the end)."""
        from nnrules.cache.eviction import account

        with self._lock:
            self._stored += stored
            due = self._stored > (self._settings.size // _LOOKS if stored else 0)
            amount, self._stored = (self._stored, 0) if due else (0, self._stored)
        if due:
            self._write(lambda: account(self._settings.local, amount, self._settings.size))

    def _write(self, change: Callable[[], object]) -> bool:
        """Whether the local store could be changed. Where it cannot, it is not tried again in this build."""
        if not self._writable:
            return False
        try:
            change()
        except OSError as fault:
            self._writable = False
            text = fault.strerror or type(fault).__name__
            self._say("write", f"cannot be written ({text}); this build keeps nothing more there")
            return False
        return True

    def _damage(self, fault: Damaged) -> None:
        self._tally.add(damaged=1)
        done = "read as a miss" if self._settings.read_only else "removed"
        self._say("damage", f"{fault}; {done}")

    def _say(self, kind: str, text: str) -> None:
        """One line of each kind."""
        with self._lock:
            new = kind not in self._warned
            self._warned.add(kind)
        if new:
            self._warn(f"cache {self._settings.local}: {text}")


def _key(text: str) -> str:
    if not is_digest(text):
        raise ValueError(f"{text!r} is no SHA-256")
    return text
