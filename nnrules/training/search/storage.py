"""Where a study is kept: a journal beside the build's other memory, or a database that several machines share.

What a killed process left behind in the journal (half a line, its lock) goes when the journal is opened again; a trial
that it had begun is tried again with what was drawn for it. So is one in a database whose process has not been heard of
for `GRACE` seconds.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nnrules.error import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

HEARTBEAT, GRACE = 10, 60  # seconds
_PAUSES = (0.1, 0.3, 1.0, 2.0)  # seconds
_EXISTS = re.compile("already exists|duplicate|UNIQUE constraint|Duplicate")
_CURE = "mend that and build again: the trials that are over are kept"


def require_public(place: str, storage: str) -> None:
    """Raises UserError for a variable without a name, and for a password in the option itself, which is printed."""
    if storage.startswith("$") and not _variable(storage):
        raise UserError(place, f"storage={storage!r} names no variable", 'write it like storage="$NNRULES_STUDY"')
    if not storage.startswith("$") and any(pattern.search(storage) for pattern in _SECRETS):
        fault = "a password does not belong into a SConscript"
        raise UserError(place, fault, 'put the URL into an environment variable and say storage="$NAME"')


def resolved(place: str, storage: str, environment: Mapping[str, str]) -> str:
    """The URL that the option means; empty: a file. Raises UserError like require_public, and for a variable that is
    not set."""
    require_public(place, storage)
    if storage.startswith("$"):
        name = _variable(storage)
        if not environment.get(name):
            raise UserError(place, f"the environment variable {name} is not set", "set it to the URL of the database")
        return environment[name]
    return storage


def _variable(storage: str) -> str:
    return storage[1:].strip("{}")


@contextmanager
def opened(place: str, url: str, folder: Path) -> Iterator[BaseStorage]:
    """The storage of a `url`, or the journal in `folder`; what goes wrong with it raises UserError."""
    with warnings.catch_warnings(), _told(place, url), _locked(place, None if url else folder / "lock"):
        warnings.simplefilter("ignore")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        yield _database(place, url) if url else _journal(folder / "journal")


def _database(place: str, url: str) -> BaseStorage:
    """Again where another machine made the tables of a new database at the same time."""
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    for pause in _PAUSES:
        try:
            return _connected(place, url)
        except (IntegrityError, OperationalError, ProgrammingError) as fault:
            if not _EXISTS.search(str(fault.orig)):
                raise
            time.sleep(pause)
    return _connected(place, url)


def _connected(place: str, url: str) -> BaseStorage:
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback

    again = RetryHeartbeatStaleTrialCallback(inherit_intermediate_values=True)
    # A server that says its encoding is SQL_ASCII, as where no locale is set, would answer in bytes.
    encoding = {"client_encoding": "utf8"} if url.startswith("postgresql+psycopg") else {}
    try:
        return RDBStorage(
            url,
            engine_kwargs={"pool_pre_ping": True, "connect_args": encoding},
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=again,
        )
    except ImportError as fault:
        text = str(fault.__cause__ or fault).splitlines()[0]
        raise UserError(place, f"the database's driver cannot be imported ({text})", "install it") from None


def _journal(path: Path) -> BaseStorage:
    from optuna.exceptions import StorageInternalError
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    class Backend(JournalFileBackend):
        """With what goes wrong with the file as a storage's fault."""

        def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
            try:
                yield from super().read_logs(log_number_from)
            except ValueError:
                raise StorageInternalError(f"{path} is damaged") from None

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            try:
                super().append_logs(logs)
            except OSError as fault:
                raise StorageInternalError from fault

    for left in path.parent.glob(f"{path.name}.lock*"):
        left.unlink()
    if path.is_file():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
    return JournalStorage(Backend(str(path)))


@contextmanager
def _locked(place: str, path: Path | None) -> Iterator[None]:
    """One process at a time has a journal."""
    if path is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            cure = "wait for it, or share a database by storage="
            raise UserError(place, "another build is at this study", cure) from None
        yield


@contextmanager
def _told(place: str, url: str) -> Iterator[None]:
    """Faults of the database, and of the journal's disk, as one line without the password."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError) as fault:
        text = _bare(str(fault), url)
        cure = "write it like postgresql+psycopg://host/name or sqlite:///file.db"
        raise UserError(place, f"storage is no URL of a database ({text})", cure) from None
    except (SQLAlchemyError, StorageInternalError) as fault:
        raise UserError(place, f"the study's database does not answer ({_root(fault, url)})", _CURE) from None


def _root(fault: BaseException, url: str) -> str:
    """What a driver said."""
    while (cause := getattr(fault, "orig", None) or fault.__cause__) is not None:
        fault = cause
    return _bare(str(fault), url)


_SECRETS = re.compile(r"(://[^/:@]*:)(.+)(?=@)"), re.compile(r"(?i)([?&;]\w*(?:password|passwd|pwd)=)([^&;\s]+)")


def _bare(text: str, url: str) -> str:
    """The first line of a message, without secrets."""
    line = next(iter(text.strip().splitlines()), "no message")
    for pattern in _SECRETS:
        for found in pattern.finditer(url):
            line = line.replace(found[2], "***").replace(unquote(found[2]), "***")
        line = pattern.sub(r"\1***", line)
    return line
