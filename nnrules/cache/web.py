"""A remote over HTTP: GET, HEAD and PUT of `ac/<key>` and `cas/<SHA-256>`, as bazel-remote and WebDAV servers serve it.

No redirect is followed (Bazel follows none either): a login would go to whoever the server names.
"""

import re
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from nnrules.cache.settings import Settings
from nnrules.cache.transport import Content, DeniedError, PushRefused, TransferError

if TYPE_CHECKING:
    import ssl

    import httpx

_OK, _MISSING, _DENIED = 200, (404, 410), (401, 403, 407)
_NO_FOLDER = (404, 409, 500)  # of a PUT under WebDAV; the last one is nginx's
_FULL = 507
_NUMBER = re.compile(r"^\s*\[Errno -?\d+\] ")
_NO_LOGIN = (401, 407)
_MAY_NOT_PUSH = "see NNRULES_CACHE_HEADER, or NNRULES_CACHE_PUSH=never"
_LOGIN = "NNRULES_CACHE_HEADER, a netrc file or user:password@ in the URL gives a login"


class WebStore:
    """`settings.url` may go on with a path, below which everything lies."""

    def __init__(self, settings: Settings) -> None:
        assert settings.url is not None
        self._settings, self._base = settings, settings.url.text
        self._lock = threading.RLock()
        self._made: set[str] = set()
        self._opened: httpx.Client | None = None

    def get(self, path: str, limit: int, take: Callable[[bytes], None]) -> bool:
        """See Transport."""
        import httpx

        try:
            with self._client().stream("GET", f"{self._base}/{path}") as answer:
                if answer.status_code in _MISSING:
                    return False
                _check(answer)
                if int(answer.headers.get("content-length", 0)) > limit:
                    raise TransferError(f"sends {answer.headers['content-length']} bytes where {limit} are the most")
                self._take(answer, limit, take)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as fault:
            raise TransferError(_told(fault)) from fault
        return True

    def has(self, path: str, size: int) -> bool:
        """See Transport; a server that answers HEAD without a length is believed."""
        answer = self._request("HEAD", f"{self._base}/{path}")
        if answer.status_code in _MISSING:
            return False
        _check(answer)
        return answer.headers.get("content-length", str(size)) == str(size)

    def put(self, path: str, size: int, content: Content) -> None:
        """See Transport; the folders that WebDAV misses are made."""
        url = f"{self._base}/{path}"
        answer = self._put(url, size, content)
        if answer.status_code in _NO_FOLDER:
            self._make_folders(path.partition("/")[0])
            answer = self._put(url, size, content)
        if answer.is_success:
            return
        if answer.is_client_error or answer.status_code == _FULL:
            cure = _MAY_NOT_PUSH if answer.status_code in _NO_LOGIN else ""
            raise PushRefused(f"takes no pushes ({_status(answer)})", cure)
        _check(answer)

    def _put(self, url: str, size: int, content: Content) -> "httpx.Response":
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        return self._request("PUT", url, content=content(), headers=headers)

    def _make_folders(self, folder: str) -> None:
        """MKCOL, once, for `ac` or `cas` and, where that is not enough, for the folders of the URL. Another build may
        be faster: that one could not be made says nothing."""
        with self._lock:
            if folder in self._made:
                return
            self._made.add(folder)
            self._make(folder)

    def _make(self, folder: str) -> None:
        scheme, _, rest = f"{self._base}/{folder}".partition("://")
        parts = rest.split("/")
        urls = [f"{scheme}://{'/'.join(parts[:end])}/" for end in range(2, len(parts) + 1)]
        if not self._request("MKCOL", urls[-1]).is_success:
            for url in urls:
                self._request("MKCOL", url)

    def _take(self, answer: "httpx.Response", limit: int, take: Callable[[bytes], None]) -> None:
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise TransferError("sends compressed content that nobody asked for")
        taken = 0
        for piece in answer.iter_raw():
            taken += len(piece)
            if taken > limit:
                raise TransferError(f"sends more than {limit} bytes")
            take(piece)

    def _request(self, method: str, url: str, **more: object) -> "httpx.Response":
        """An answer whose body does not matter: it is not read."""
        import httpx

        try:
            client = self._client()
            answer = client.send(client.build_request(method, url, **more), stream=True)  # type: ignore[arg-type]
            with suppress(httpx.HTTPError):
                self._skip(answer)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, ValueError) as fault:
            raise TransferError(_told(fault)) from fault
        return answer

    @staticmethod
    def _skip(answer: "httpx.Response") -> None:
        """Read a short body, so that the connection can be used again; drop the connection over a long one."""
        read = 0
        try:
            for piece in answer.iter_raw():
                read += len(piece)
                if read > 1 << 16:
                    return
        finally:
            answer.close()

    def _client(self) -> "httpx.Client":
        import httpx

        with self._lock:
            if self._opened is None:
                headers = {"User-Agent": "nnrules", "Accept": "*/*", "Accept-Encoding": "identity"}
                headers.update(self._login())
                try:
                    context, limits = self._context(), httpx.Limits(max_connections=None, keepalive_expiry=2.0)
                    timeout = httpx.Timeout(self._settings.timeout, connect=min(5.0, self._settings.timeout))
                    self._opened = httpx.Client(headers=headers, verify=context, timeout=timeout, limits=limits)
                except (OSError, ImportError, ValueError) as fault:
                    raise TransferError(_told(fault)) from fault
            return self._opened

    def _context(self) -> "ssl.SSLContext":
        """Certificates are verified, by the authorities of SSL_CERT_FILE or the system's, else by certifi's."""
        import ssl

        if not self._base.startswith("https:"):
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # with no authority at all, and not used
        known = ssl.get_default_verify_paths()
        if self._settings.certificates or known.cafile or known.capath:
            return ssl.create_default_context(cafile=self._settings.certificates)
        import certifi

        return ssl.create_default_context(cafile=certifi.where())

    def _login(self) -> dict[str, str]:
        """The header of the settings, else what a netrc file says of the host."""
        if self._settings.header:
            name, value = self._settings.header
            return {name: value.text}
        import netrc
        from urllib.parse import urlsplit

        try:
            known = netrc.netrc(self._settings.netrc).authenticators(urlsplit(self._base).hostname or "")
        except (OSError, netrc.NetrcParseError):
            return {}
        return {"Authorization": f"Basic {b64encode(f'{known[0]}:{known[2]}'.encode()).decode()}"} if known else {}


def _check(answer: "httpx.Response") -> None:
    """Raises TransferError for an answer that is none."""
    if answer.status_code in _DENIED:
        raise DeniedError(f"{_status(answer)}; {_LOGIN}")
    if answer.is_redirect:
        raise TransferError(f"{_status(answer)}: redirects are not followed")
    if answer.status_code != _OK:
        raise TransferError(_status(answer))


def _status(answer: "httpx.Response") -> str:
    import http

    with suppress(ValueError):
        return f"{answer.status_code} {http.HTTPStatus(answer.status_code).phrase}"
    return f"status {answer.status_code}"


def _told(fault: Exception) -> str:
    """One line, without the number of a fault of the system."""
    text = _NUMBER.sub("", str(fault)).strip().splitlines()
    return text[0][:200].rstrip(".") if text else type(fault).__name__
