"""What the remote needs of a server or a file system: contents by path, in pieces."""

from collections.abc import Callable, Iterator
from typing import Protocol

from nnrules.cache.settings import Settings

Content = Callable[[], Iterator[bytes]]  # may be asked for more than once


class TransferError(Exception):
    """A fault of the remote: a strike. The text goes into the warning; no secret is in it."""


class DeniedError(TransferError):
    """The remote wants another login, or none of ours will do: it is not asked again."""


class PushRefused(Exception):  # noqa: N818 - the remote is well
    """The remote takes no pushes, or none like this; what it has can still be read. `cure`: may be empty."""

    def __init__(self, fault: str, cure: str = "") -> None:
        super().__init__(fault)
        self.cure = cure


class Transport(Protocol):
    """Paths are `ac/<key>` and `cas/<SHA-256>`. Raises TransferError; used by several threads at once."""

    def get(self, path: str, limit: int, take: Callable[[bytes], None]) -> bool:
        """Hand the content to `take` in pieces, `limit` bytes at most; False where there is none."""

    def has(self, path: str, size: int) -> bool:
        """Whether there is a content of this size."""

    def put(self, path: str, size: int, content: Content) -> None:
        """Replace the content. Raises PushRefused."""


def transport(settings: Settings) -> Transport:
    """What the URL of the settings asks for; connects at its first use."""
    assert settings.url is not None
    if settings.over_http:
        from nnrules.cache.web import WebStore

        return WebStore(settings)
    from nnrules.cache.filesystem import FileSystemStore

    return FileSystemStore(settings.url.text)
