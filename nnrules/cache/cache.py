"""Look a step up, restore its outputs, store them: on this machine first, then at the remote."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from nnrules.cache.entry import Entry, Output, is_digest, is_name
from nnrules.cache.files import Unwritable, digest_of, move_all, open_new, partial_folder, write_all
from nnrules.cache.keeper import Keeper
from nnrules.cache.settings import Settings
from nnrules.cache.summary import Summary, Tally

if TYPE_CHECKING:
    from nnrules.cache.remote import Remote


class Restored(msgspec.Struct, frozen=True):
    """A hit. `remote`: whether anything had to be fetched; `seconds`: what restoring took."""

    entry: Entry
    remote: bool
    seconds: float


class Cache:
    """A cache cannot fail a build: what goes wrong is a miss, and `warn` gets one line for each kind of fault. For any
    number of threads."""

    def __init__(self, settings: Settings, warn: Callable[[str], None]) -> None:
        self._settings, self._tally = settings, Tally()
        self._local = Keeper(settings, self._tally, warn)
        self._remote = _remote(settings, self._tally, warn)

    @property
    def summary(self) -> Summary:
        """What it did so far."""
        return self._tally.now

    def lookup(self, key: str) -> Entry | None:
        """The entry of a key whose contents are there, as far as can be told without reading them."""
        entry = self._local.entry(_checked(key))
        if entry and self._local.complete(entry):
            return entry
        return self._remote.entry(key) if self._remote else None

    def blob(self, digest: str, limit: int) -> bytes | None:
        """A content of at most `limit` bytes."""
        data = self._local.blob(_checked(digest), limit)
        if data is None and self._remote:
            data = self._remote.content(digest, limit)
            if data:
                self._local.keep([data])
        return data

    def restore(self, key: str, files: Mapping[str, Path]) -> Restored | None:
        """Put the outputs of a step, by name, where they belong: all of them, verified, or none. What was found on this
        machine is offered to the remote, which may be younger."""
        start = time.monotonic()
        for entry, remote in self._entries(_checked(key)):
            fetched = self._gather(key, entry, remote, files)
            if fetched is not None:
                hit = "hits_remote" if remote or fetched else "hits_local"
                self._tally.add(**{hit: 1, "seconds_saved": entry.seconds})
                if hit == "hits_local":
                    self._push(key, entry, files, offered=True)
                return Restored(entry, remote or fetched, time.monotonic() - start)
        self._tally.add(misses=1)
        return None

    def store(self, key: str, files: Mapping[str, Path], seconds: float) -> None:
        """Keep the outputs of a step that succeeded and took `seconds`."""
        if not files or not all(map(is_name, files)):
            raise ValueError(f"not all of {sorted(files)} are names of outputs")
        if self._settings.read_only or not (self._local.writable or self._remote):
            return
        try:
            entry = self._keep(_checked(key), files, seconds)
        except OSError as fault:
            self._local.say("outputs", f"{fault.filename}: {fault.strerror}; that step is not kept")
            return
        if entry:
            self._push(key, entry, files)

    def close(self, wait: bool = True) -> None:
        """Wait for pushes (not where the build was interrupted); keep the local store below its cap."""
        if self._remote:
            self._remote.close(wait)
        self._local.account()

    def _push(self, key: str, entry: Entry, files: Mapping[str, Path], offered: bool = False) -> None:
        """Let the remote have an entry, in the background."""
        if self._remote:
            self._remote.push(key, entry, lambda output: self._open(output, files[output.name]), offered)

    def _entries(self, key: str) -> Iterator[tuple[Entry, bool]]:
        """The entries of a key, and whether each comes from the remote."""
        local = self._local.entry(key)
        if local:
            yield local, False
        remote = self._remote.entry(key) if self._remote else None
        if remote and remote != local:
            yield remote, True

    def _gather(self, key: str, entry: Entry, remote: bool, files: Mapping[str, Path]) -> bool | None:
        """Restore an entry; whether contents were fetched for it. None: it cannot be had, or not be written."""
        if {output.name for output in entry.outputs} != set(files):
            return None
        try:
            with partial_folder(next(iter(files.values()))) as folder:
                missing = [output for output in entry.outputs if not self._copy(output, folder)]
                if missing and not self._fetch(missing, folder):
                    if not remote:
                        self._local.forget(key)
                    return None
                for output in missing:
                    self._local.keep_file(folder / output.name)
                if missing or remote:
                    self._local.keep_entry(key, entry)
                move_all((folder / name, final) for name, final in files.items())
        except (Unwritable, OSError):
            return None
        return bool(missing)

    def _copy(self, output: Output, folder: Path) -> bool:
        """One output from the local store. Raises Unwritable."""
        with open_new(folder / output.name, output.executable) as sink:
            return self._local.copy(output, lambda piece: write_all(sink, piece))

    def _fetch(self, missing: Sequence[Output], folder: Path) -> bool:
        """The others from the remote. Raises Unwritable. The files are opened here and not where they are filled: a
        download that was given up must not create one in a folder that is in other hands by then."""
        if self._remote is None:
            return False
        return self._remote.fetch([(each, open_new(folder / each.name, each.executable)) for each in missing])

    def _keep(self, key: str, files: Mapping[str, Path], seconds: float) -> Entry | None:
        """The entry, kept locally if that can be; None where it is larger than the cap. Raises OSError for `files`."""
        states = {name: path.stat() for name, path in files.items()}
        if sum(state.st_size for state in states.values()) > self._settings.size:
            return None
        outputs = []
        for name, path in files.items():
            sha256, size = self._local.keep_file(path) or digest_of(path)
            outputs.append(Output(name, sha256, size, bool(states[name].st_mode & 0o100)))
        entry = Entry(tuple(outputs), max(0.0, seconds))
        self._local.keep_entry(key, entry)
        return entry

    def _open(self, output: Output, path: Path) -> BinaryIO | None:
        """The content of an output, to be pushed: the local store's, else the file's, if it still is the same."""
        source = self._local.open(output)
        if source is None:
            with suppress(OSError):
                content = path.read_bytes()
                return BytesIO(content) if hashlib.sha256(content).hexdigest() == output.sha256 else None
        return source


def _remote(settings: Settings, tally: Tally, warn: Callable[[str], None]) -> "Remote | None":
    if settings.url is None:
        return None
    from nnrules.cache.remote import Remote

    return Remote(settings, tally, warn)


def _checked(key: str) -> str:
    if not is_digest(key):
        raise ValueError(f"{key!r} is no SHA-256")
    return key
