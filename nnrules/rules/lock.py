"""One build at a time in a build folder, and with one database of SCons's signatures."""

import fcntl
import os
from pathlib import Path
from typing import IO

import SCons.SConsign

from nnrules.error import UserError

_OPEN = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC  # what is there stays as it is


def lock(folder: Path) -> IO[str]:
    """Take a build folder until the returned file is closed. Raises UserError where it is taken or cannot be."""
    try:
        held = _opened(folder)
    except OSError as fault:
        cure = "choose another folder"
        raise UserError(f"build_dir={folder}", f"cannot be written ({fault.strerror})", cure) from None
    if not _taken(held):
        cure = "wait for it to end or choose another folder with build_dir="
        raise UserError(str(folder), "another build is running in this folder", cure)
    return held


def lock_signatures(memory: Path, build: Path) -> IO[str] | None:
    """The same for SCons's database, with a file in `memory`, where the lock of the build folder does not hold it: each
    build reads it whole and writes it whole, so of two that run at a time one would lose what it did."""
    if _within(build):
        return None
    try:
        held = _opened(memory)
    except OSError as fault:
        raise UserError(memory.name, f"cannot be written ({fault.strerror})", "make it writable") from None
    if not _taken(held):
        told = "another build of this SConstruct is running, and both would write SCons's signatures"
        raise UserError(memory.name, told, "wait for it to end")
    return held


def _within(build: Path) -> bool:
    """Whether the database lies in the build folder, as far as the SConstruct has said by now."""
    database = SCons.SConsign.DB_Name
    if database is None or SCons.SConsign.ForDirectory is not SCons.SConsign.DB:
        return False
    return Path(database).resolve().is_relative_to(build.resolve())


def _opened(folder: Path) -> IO[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(folder / ".lock", _OPEN, 0o666), "r+", encoding="utf-8")


def _taken(held: IO[str]) -> bool:
    """Closes the file where it is not."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        return False
    return True
