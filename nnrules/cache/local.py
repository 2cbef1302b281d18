"""The store on this machine: `ac/<first two digits>/<key>` entries, `cas/<first two digits>/<SHA-256>` contents.

Files appear by os.replace from a temporary name in the same folder and are never changed afterwards, so any number of
builds may share a store. Nothing is trusted: contents are hashed as they are read, and no symbolic link below the top
is followed. What is damaged is removed, where the store may be written.
"""

import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nnrules.cache.action_result import decode, encode
from nnrules.cache.entry import EMPTY, ENTRY_LIMIT, BadEntry, Entry, Output
from nnrules.cache.files import pieces

ENTRIES, CONTENTS = "ac", "cas"
TEMPORARY = ".partial-"  # how temporary names begin

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_numbers = itertools.count()


class Damaged(Exception):  # noqa: N818 - a miss, not an error
    """What the store holds is not what it should be; the text says what."""


class LocalStore:
    """`limit`: bytes that the outputs of one entry may have together; a larger one is as if it were not there, for it
    may be of a build with another limit. `read_only`: nothing is changed."""

    def __init__(self, top: Path, limit: int, read_only: bool = False) -> None:
        self._top, self._limit, self._read_only = top, limit, read_only

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, None where there is none. Raises Damaged, after removing it."""
        source = self.open(ENTRIES, key)
        if source is None:
            return None
        with source:
            try:
                size = _regular_size(source)
                if not 0 <= size <= ENTRY_LIMIT:
                    raise BadEntry(f"{size} bytes" if size > 0 else "no regular file")
                entry = decode(key, b"".join(_readable(source)))
            except BadEntry as fault:
                self.discard(ENTRIES, key)
                raise Damaged(f"entry {key[:12]}: {fault}") from None
            if entry.size > self._limit:
                return None
            self._touch(source)
        return entry

    def has(self, output: Output) -> bool:
        """Whether an output's content is there, by its size alone."""
        try:
            with self._folder(CONTENTS, output.sha256) as folder:
                state = os.stat(output.sha256, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return output.sha256 == EMPTY
        return stat.S_ISREG(state.st_mode) and state.st_size == output.size

    def content(self, sha256: str, size: int | None, limit: int) -> Iterator[bytes]:
        """The content in pieces. The last one is followed by FileNotFoundError where there is no such content, by
        Damaged where it is another one than it should be (it is removed then): take nothing before the end."""
        if sha256 == EMPTY:
            return
        source = self.open(CONTENTS, sha256)
        if source is None:
            raise FileNotFoundError(sha256)
        with source:
            found, digest = _regular_size(source), hashlib.sha256()
            if size is None and found > limit:
                raise FileNotFoundError(sha256)
            if found > 0 and size in (None, found):
                for piece in _readable(source):
                    digest.update(piece)
                    yield piece
            if digest.hexdigest() != sha256:
                self.discard(CONTENTS, sha256)
                raise Damaged(f"content {sha256[:12]} has another SHA-256")
            self._touch(source)

    def put(self, source: Iterable[bytes]) -> tuple[str, int]:
        """Take a content in; its SHA-256 and size. One that is there already is written again: it may be damaged.
        Raises OSError where it cannot be written; what `source` raises passes."""
        digest, size = hashlib.sha256(), 0

        def counted() -> Iterator[bytes]:
            nonlocal size
            for piece in source:
                digest.update(piece)
                size += len(piece)
                yield piece

        with self._temporary(counted()) as (temporary, folder):
            sha256 = digest.hexdigest()
            if size:
                self._place(temporary, folder, CONTENTS, sha256)
        return sha256, size

    def put_entry(self, key: str, entry: Entry) -> None:
        """Take an entry in, after all of its contents. Raises OSError."""
        with self._temporary([encode(key, entry)]) as (temporary, folder):
            self._place(temporary, folder, ENTRIES, key)

    def discard(self, kind: str, name: str) -> None:
        """Remove what is damaged, if it can be."""
        if self._read_only:
            return
        with suppress(OSError), self._folder(kind, name) as folder:
            try:
                os.unlink(name, dir_fd=folder)
            except OSError:
                os.rmdir(name, dir_fd=folder)

    @contextmanager
    def _folder(self, kind: str, name: str, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder in which a name lies, reached without following a link. Raises OSError."""
        if create:
            self._top.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._top, _FOLDER)
        try:
            for part in (kind, name[:2]) if name else (kind,):
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(part, dir_fd=handle)
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
                os.close(handle)
                handle = inner
            yield handle
        finally:
            os.close(handle)

    def open(self, kind: str, name: str) -> BinaryIO | None:
        """A file for reading, None where there is none; not verified. A link in its place is removed, if it can be."""
        try:
            with self._folder(kind, name) as folder:
                handle = os.open(name, _READ, dir_fd=folder)
            try:
                return os.fdopen(handle, "rb", buffering=0)
            except OSError:
                os.close(handle)
                raise
        except FileNotFoundError:
            return None
        except OSError:
            self.discard(kind, name)
            return None

    @contextmanager
    def _temporary(self, content: Iterable[bytes]) -> Iterator[tuple[str, int]]:
        """A temporary file with the content: its name and a descriptor of its folder. Raises OSError."""
        name = f"{TEMPORARY}{os.getpid()}-{next(_numbers)}-{os.urandom(4).hex()}"
        with self._folder(CONTENTS, "", create=True) as folder:
            try:
                with os.fdopen(os.open(name, _WRITE, 0o666, dir_fd=folder), "wb", buffering=0) as sink:
                    for piece in content:
                        view = memoryview(piece)
                        while view:
                            view = view[sink.write(view) :]
                yield name, folder
            finally:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)

    def _place(self, temporary: str, folder: int, kind: str, name: str) -> None:
        with self._folder(kind, name, create=True) as final:
            os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=final)

    def _touch(self, source: BinaryIO) -> None:
        """Used now, for the order of eviction. The time of access may be off (noatime), so it is that of change."""
        if not self._read_only:
            with suppress(OSError):
                os.utime(source.fileno())


def _regular_size(source: BinaryIO) -> int:
    """-1 for a pipe, a device and their like."""
    state = os.fstat(source.fileno())
    return state.st_size if stat.S_ISREG(state.st_mode) else -1


def _readable(source: BinaryIO) -> Iterator[bytes]:
    """What can be read; a fault of the disk shows in the digest."""
    with suppress(OSError):
        yield from pieces(source)
