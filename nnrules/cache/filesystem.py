"""A remote that fsspec reaches (`s3://`, `gs://`, `file://` ...), with the layout of the HTTP one."""

import threading
from collections.abc import Callable
from typing import Any

from nnrules.cache.transport import Content, TransferError

_PIECE = 16 << 20  # bytes of one request
_BUCKETS = ("s3:", "gs:", "gcs:", "az:", "abfs:")


class FileSystemStore:
    """`url`: where `ac` and `cas` lie. Logins and endpoints come from where the scheme's library looks for them."""

    def __init__(self, url: str) -> None:
        self._url, self._lock = url, threading.Lock()
        self._opened: tuple[Any, str] | None = None

    def get(self, path: str, limit: int, take: Callable[[bytes], None]) -> bool:
        """See Transport. Read by ranges of known ends; what lies behind `limit` is not looked at."""
        start = 0
        while start < limit:
            end = min(start + _PIECE, limit)
            try:
                files, base = self._open()
                piece: bytes = files.cat_file(f"{base}/{path}", start=start, end=end)
            except FileNotFoundError:
                return False
            except Exception as fault:
                raise TransferError(self._told(fault)) from fault
            take(piece)
            if len(piece) != end - start:
                break
            start = end
        return True

    def has(self, path: str, size: int) -> bool:
        """See Transport."""
        try:
            files, base = self._open()
            return bool(files.info(f"{base}/{path}").get("size") == size)
        except FileNotFoundError:
            return False
        except Exception as fault:
            raise TransferError(self._told(fault)) from fault

    def put(self, path: str, size: int, content: Content) -> None:
        """See Transport; folders are made, buckets are not."""
        try:
            files, base = self._open()
            try:
                self._write(files, f"{base}/{path}", content)
            except FileNotFoundError:
                if self._url.startswith(_BUCKETS):
                    raise
                files.makedirs(f"{base}/{path.partition('/')[0]}", exist_ok=True)
                self._write(files, f"{base}/{path}", content)
        except Exception as fault:
            raise TransferError(self._told(fault)) from fault

    @staticmethod
    def _write(files: Any, path: str, content: Content) -> None:
        with files.open(path, "wb") as sink:
            for piece in content():
                sink.write(piece)

    def _open(self) -> tuple[Any, str]:
        """The file system and the path of the URL in it."""
        with self._lock:
            if self._opened is None:
                from fsspec.core import url_to_fs  # type: ignore[import-untyped]

                files, base = url_to_fs(self._url)
                self._opened = files, str(base).rstrip("/")
            return self._opened

    def _told(self, fault: Exception) -> str:
        """One line, in which the login of the URL is not."""
        text = (str(fault).strip().splitlines() or [""])[0][:200]
        login = self._url.partition("://")[2].rpartition("@")[0]
        for secret in filter(None, (login, login.partition(":")[2])):
            text = text.replace(secret, "***")
        return f"{type(fault).__name__}: {text}" if text else type(fault).__name__
