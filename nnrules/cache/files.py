"""Bytes of files: read in pieces, hashed as they pass."""

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PIECE = 1 << 20


class Unwritable(Exception):  # noqa: N818 - carries an OSError
    """A place where a restored file belongs cannot be written; the cache itself is not at fault."""


def pieces(source: BinaryIO) -> Iterator[bytes]:
    """What is left of an open file."""
    while piece := source.read(PIECE):
        yield piece


def digest_of(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as source:
        for piece in pieces(source):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


def open_new(path: Path, executable: bool) -> BinaryIO:
    """A file to be filled, unbuffered. Raises Unwritable."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o777 if executable else 0o666)
    except OSError as fault:
        raise Unwritable(str(fault)) from fault
    return os.fdopen(handle, "wb", buffering=0)


def write_all(sink: BinaryIO, piece: bytes) -> None:
    """Write to an unbuffered file, all of it. Raises Unwritable."""
    view = memoryview(piece)
    try:
        while view:
            view = view[sink.write(view) :]
    except OSError as fault:
        raise Unwritable(str(fault)) from fault


@contextmanager
def partial_folder(final: Path) -> Iterator[Path]:
    """The folder beside a first output in which all outputs come to be: the one that a running stage uses too, so that
    what a killed build left there is cleared by the next one. Raises Unwritable."""
    folder = final.parent / f".{final.name}.partial"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as fault:
        raise Unwritable(str(fault)) from fault
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def move_all(moves: Iterable[tuple[Path, Path]]) -> None:
    """Rename each first path to the second. Raises Unwritable, and then none of the second ones is left."""
    done: list[Path] = []
    try:
        for source, final in moves:
            if final.parent != source.parent.parent:
                final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, final)
            done.append(final)
    except OSError as fault:
        for final in done:
            final.unlink(missing_ok=True)
        raise Unwritable(str(fault)) from fault
