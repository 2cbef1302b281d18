"""The cache that a team shares. Two faults, and it is left alone for the rest of the build."""

import hashlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO

from nnrules.cache.action_result import decode, encode
from nnrules.cache.deadline import GivenUp, Progress, attend
from nnrules.cache.entry import EMPTY, ENTRY_LIMIT, BadEntry, Entry, Output
from nnrules.cache.files import Unwritable, pieces, write_all
from nnrules.cache.settings import Settings
from nnrules.cache.summary import Tally
from nnrules.cache.transport import DeniedError, PushRefused, TransferError, Transport, transport

Opener = Callable[[Output], "BinaryIO | None"]

_STRIKES = 2
_PUSHERS = 4  # threads
_WORTH_ASKING = 1 << 16  # bytes from which it is asked whether a content is there before it is sent


class _Missing(Exception):  # noqa: N818
    """The remote has it not, or not any more: no fault."""


class Remote:
    """Reads at once, pushes in the background. `warn` is called once at most."""

    def __init__(self, settings: Settings, tally: Tally, warn: Callable[[str], None]) -> None:
        self._settings, self._tally, self._warn = settings, tally, warn
        self._transport: Transport = transport(settings)
        self._lock = threading.Condition()
        self._strikes, self._off, self._warned = 0, False, False
        self._pushes, self._pending = settings.pushes, 0
        self._queue: queue.SimpleQueue[tuple[str, Entry, Opener, bool] | None] = queue.SimpleQueue()
        self._pushers: list[threading.Thread] = []
        self._there: set[str] = set()
        self._bad: set[str] = set()

    def entry(self, key: str) -> Entry | None:
        """The entry of a key, None where there is none or it cannot be had."""
        found: list[Entry | None] = []
        return found[0] if self._attempt([lambda progress: found.append(self._entry(key, progress))]) else None

    def fetch(self, wanted: Sequence[tuple[Output, BinaryIO]]) -> bool:
        """Download contents, verified, into open files, which are closed; False where one cannot be had. Raises
        Unwritable."""
        works = [self._download(output, sink) for output, sink in wanted]
        return self._attempt(works)

    def content(self, sha256: str, limit: int) -> bytes | None:
        """One content of at most `limit` bytes."""
        data = bytearray()

        def work(progress: Progress) -> None:
            self._get(sha256, limit, progress, data.extend)

        return bytes(data) if self._attempt([work]) else None

    def push(self, key: str, entry: Entry, content: Opener, offered: bool = False) -> None:
        """Send an entry and its contents some time before `close` returns; if it is only `offered`, where the remote
        has none of this key."""
        with self._lock:
            if self._off or not self._pushes or (offered and f"ac/{key}" in self._there):
                return
            self._pending += 1
            if len(self._pushers) < min(_PUSHERS, self._pending):
                self._pushers.append(threading.Thread(target=self._push_all, daemon=True))
                self._pushers[-1].start()
        self._queue.put((key, entry, content, offered))

    def close(self, wait: bool = True) -> None:
        """Wait for the pushes, as long as the settings say, or not at all."""
        end = time.monotonic() + (self._settings.wait if wait else 0)
        with self._lock:
            while self._pending and (left := end - time.monotonic()) > 0:
                self._lock.wait(left)
            late, self._pushes = self._pending, False
        if late and wait:
            self._say(f"{late} of the pushes did not end in {self._settings.wait:g} s and are given up")
        for _ in self._pushers:
            self._queue.put(None)

    def _download(self, output: Output, sink: BinaryIO) -> Callable[[Progress], None]:
        def work(progress: Progress) -> None:
            with sink:
                self._get(output.sha256, output.size, progress, lambda piece: write_all(sink, piece))

        return work

    def _entry(self, key: str, progress: Progress) -> Entry | None:
        """The entry of a key. Raises TransferError."""
        data = bytearray()
        if not self._transport.get(f"ac/{key}", ENTRY_LIMIT, lambda piece: _take(progress, data.extend, piece)):
            return None
        self._tally.add(bytes_down=len(data))
        try:
            entry = decode(key, bytes(data))
            if entry.size > self._settings.size:
                raise BadEntry(f"a claim of {entry.size} bytes")
        except BadEntry as fault:
            raise TransferError(f"entry {key[:12]}: {fault}") from None
        self._there.add(f"ac/{key}")
        return entry

    def _get(self, sha256: str, limit: int, progress: Progress, sink: Callable[[bytes], object]) -> None:
        """Hand on a content as it comes. Raises _Missing, TransferError."""
        if sha256 == EMPTY:
            return
        digest = hashlib.sha256()

        def take(piece: bytes) -> None:
            digest.update(piece)
            self._tally.add(bytes_down=len(piece))
            _take(progress, sink, piece)

        if not self._transport.get(f"cas/{sha256}", limit, take):
            raise _Missing
        if digest.hexdigest() != sha256:
            self._bad.add(sha256)
            raise TransferError(f"content {sha256[:12]} has another SHA-256")

    def _push_all(self) -> None:
        """The life of a thread that pushes."""
        while (job := self._queue.get()) is not None:
            try:
                if self._pushes:
                    self._attempt([partial(self._send, *job)])
            finally:
                with self._lock:
                    self._pending -= 1
                    self._lock.notify_all()

    def _send(self, key: str, entry: Entry, content: Opener, offered: bool, progress: Progress) -> None:
        """The contents, and then the entry that names them."""
        if offered and self._entry(key, progress):
            return
        for output in entry.outputs:
            if output.size and f"cas/{output.sha256}" not in self._there:
                self._send_content(output, content, progress)
                self._there.add(f"cas/{output.sha256}")
        data = encode(key, entry)
        self._transport.put(f"ac/{key}", len(data), lambda: iter([data]))
        self._there.add(f"ac/{key}")
        self._tally.add(bytes_up=len(data))

    def _send_content(self, output: Output, content: Opener, progress: Progress) -> None:
        """Raises _Missing where the content is not there any more, TransferError, PushRefused."""
        path = f"cas/{output.sha256}"
        source = content(output)
        if source is None:
            raise _Missing
        with source:
            asked = output.size >= _WORTH_ASKING and output.sha256 not in self._bad
            if asked and self._transport.has(path, output.size):
                return

            def parts() -> Iterator[bytes]:
                source.seek(0)
                for piece in pieces(source):
                    progress.add(len(piece))
                    yield piece

            self._transport.put(path, output.size, parts)
        self._tally.add(bytes_up=output.size)

    def _attempt(self, works: Sequence[Callable[[Progress], None]]) -> bool:
        """Whether all works went well; a fault is a strike. Raises Unwritable."""
        if self._off:
            return False
        try:
            attend(works, self._settings.timeout)
        except TimeoutError:
            self._strike(f"no answer, or one too slow, in {self._settings.timeout:g} s")
        except DeniedError as fault:
            self._strike(str(fault), _STRIKES)
        except TransferError as fault:
            self._strike(str(fault))
        except PushRefused as fault:
            self._pushes = False
            self._say(f"{fault}; nothing more is sent in this build" + (f"; {fault.cure}" if fault.cure else ""))
        except (_Missing, GivenUp):
            pass
        except Unwritable:
            raise
        except Exception as fault:
            self._strike(type(fault).__name__)  # of a library below: it must not end the build either
        else:
            return True
        return False

    def _strike(self, text: str, weight: int = 1) -> None:
        with self._lock:
            self._strikes += weight
            self._off = self._strikes >= _STRIKES
        self._tally.add(strikes=1)
        if self._off:
            self._say(f"{text}; only the local cache is used for the rest of this build")

    def _say(self, text: str) -> None:
        with self._lock:
            warned, self._warned = self._warned, True
        if not warned:
            self._warn(f"cache {self._settings.place}: {text}")


def _take(progress: Progress, sink: Callable[[bytes], object], piece: bytes) -> None:
    progress.add(len(piece))
    sink(piece)
