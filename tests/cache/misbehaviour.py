"""What a bad server does with a request, and a cache that has to live with it."""

import socket
import struct
import time
from collections.abc import Callable

import httpx  # noqa: F401 - loading it is no part of what is timed

from nnrules.cache import Cache, Settings
from nnrules.cache.settings import Secret
from tests.cache.box import Box, check, key
from tests.cache.servers import Handler, Server

TIMEOUT = 0.5  # seconds, where a test waits for it; elsewhere the usual ten
SLOW = 2 * TIMEOUT + 2  # seconds that two strikes take at most, on a busy machine
CONTENT = b"the weights of a model " * 1000
STEPS = 5


def reset(handler: Handler) -> None:
    """A connection that breaks."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def headers(handler: Handler, length: int) -> None:
    """The beginning of a good answer."""
    handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())


def dies_in_mid_transfer(handler: Handler) -> None:
    headers(handler, len(CONTENT))
    handler.wfile.write(CONTENT[:5000])


def closes_after_headers(handler: Handler) -> None:
    headers(handler, 10)


def hangs(_: Handler) -> None:
    time.sleep(5)


def hangs_after_headers(handler: Handler) -> None:
    headers(handler, 10)
    time.sleep(5)


def hangs_in_mid_transfer(handler: Handler) -> None:
    dies_in_mid_transfer(handler)
    time.sleep(5)


def trickles(handler: Handler) -> None:
    """Faster than any timeout of a socket, for ever."""
    headers(handler, len(CONTENT))
    for byte in CONTENT:
        handler.wfile.write(bytes([byte]))
        time.sleep(0.05)


def trickles_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X-Header: slow\r\n")
        time.sleep(0.05)


def html(handler: Handler) -> None:
    """What a proxy or a portal says."""
    handler.answer(200, b"<html><body>Please log in</body></html>", Content_Type="text/html")


def giant(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n" + b"x" * 100_000)


def endless(handler: Handler) -> None:
    """Chunked: no length at all."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def compressed(handler: Handler) -> None:
    """A kilobyte that would be a megabyte."""
    import gzip

    handler.answer(200, gzip.compress(b"0" * 1_000_000), Content_Encoding="gzip")


def loops(handler: Handler) -> None:
    handler.answer(302, Location=handler.path)


READ_FAULTS: dict[str, Callable[[Handler], None]] = {
    "resets": reset,
    "closes": lambda _: None,
    "dies in mid-transfer": dies_in_mid_transfer,
    "closes after headers": closes_after_headers,
    "hangs": hangs,
    "hangs after headers": hangs_after_headers,
    "hangs in mid-transfer": hangs_in_mid_transfer,
    "trickles": trickles,
    "trickles headers": trickles_headers,
    "500": lambda handler: handler.answer(500, b"oops"),
    "503": lambda handler: handler.answer(503, b"later", Retry_After="3600"),
    "204": lambda handler: handler.answer(204),
    "206": lambda handler: handler.answer(206, CONTENT[:10], Content_Range="bytes 0-9/100"),
    "HTML with 200": html,
    "nothing with 200": lambda handler: handler.answer(200),
    "other bytes": lambda handler: handler.answer(200, CONTENT[::-1]),
    "too many bytes": lambda handler: handler.answer(200, CONTENT * 100),
    "giant length": giant,
    "negative length": lambda handler: handler.answer(200, Content_Length="-5"),
    "endless": endless,
    "compressed": compressed,
    "redirect loop": loops,
    "not HTTP": lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 10),
    "401": lambda handler: handler.answer(401, WWW_Authenticate="Basic"),
}


def cache_of(box: Box, server: Server, fault: str = "hangs", wait: float = 5.0) -> Cache:
    """A cache with an empty local store."""
    timeout = TIMEOUT if "hangs" in fault or "trickles" in fault else 10.0
    local = box.top / f"local{len(list(box.top.glob('local*')))}"
    place = Settings(place=server.url, local=local, url=Secret(server.url), pushes=True, timeout=timeout, wait=wait)
    return Cache(place, box.warnings.append)


def filled(box: Box, server: Server) -> None:
    """Steps 0 to 4 at the remote."""
    cache = cache_of(box, server, "none")
    for number in range(STEPS):
        cache.store(key(number), box.made(weights=CONTENT, log=f"{number}".encode()), 1.0)
    cache.close()
    assert len(server.held) == 2 * STEPS + 1
    assert not box.warnings


def restored(cache: Cache, box: Box, number: int) -> bool:
    """Whether a step is a hit; then it is right, else nothing is left."""
    files = box.wanted("weights", "log")
    hit = cache.restore(key(number), files)
    check(files, {"weights": CONTENT, "log": f"{number}".encode()} if hit else {})
    return hit is not None


WRITE_FAULTS: dict[str, tuple[Callable[[Handler], None], str]] = {
    "resets": (reset, ""),
    "hangs": (hangs, ""),
    "trickles headers": (trickles_headers, ""),
    "500": (lambda handler: handler.answer(500), "500 Internal Server Error"),
    "redirect loop": (loops, "302 Found: redirects are not followed"),
    "401": (lambda handler: handler.answer(401), "takes no pushes (401 Unauthorized)"),
    "403": (lambda handler: handler.answer(403), "takes no pushes (403 Forbidden)"),
    "405": (lambda handler: handler.answer(405), "takes no pushes (405 Method Not Allowed)"),
    "409": (lambda handler: handler.answer(409), "takes no pushes (409 Conflict)"),
    "413": (lambda handler: handler.answer(413), "takes no pushes (413 Request Entity Too Large)"),
    "507": (lambda handler: handler.answer(507), "takes no pushes (507 Insufficient Storage)"),
}
