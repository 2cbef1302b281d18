"""Servers that misbehave: the build is right, at most one line is said, and nothing takes long."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx  # noqa: F401 - loading it is no part of what is timed
import pytest

from nnrules.cache import Cache, Settings
from nnrules.cache.action_result import encode
from nnrules.cache.entry import Entry, Output
from nnrules.cache.settings import Secret
from tests.cache.box import Box, check, key, sha256
from tests.cache.disks import small_disk
from tests.cache.servers import Handler, Server, free_port, serving

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


@pytest.mark.parametrize("kind", ["ac", "cas"])
@pytest.mark.parametrize("fault", READ_FAULTS)
def test_a_server_that_misbehaves(box: Box, server: Server, fault: str, kind: str) -> None:
    """Two strikes, one warning, and then it is left alone."""
    filled(box, server)
    server.faults["GET", kind] = READ_FAULTS[fault]
    cache, start = cache_of(box, server, fault), time.monotonic()
    assert not any(restored(cache, box, number) for number in range(3))
    assert time.monotonic() - start < SLOW
    asked = [server.asked(method, "ac") + server.asked(method, "cas") for method in ("HEAD", "PUT")]
    entries = server.asked("GET", "ac")
    assert not any(restored(cache, box, number) for number in range(3, STEPS))
    cache.store(key(9), box.made(weights=b"new", log=b"new"), 1.0)
    cache.close()
    assert time.monotonic() - start < SLOW + 1
    assert entries == server.asked("GET", "ac") <= 2
    assert asked == [server.asked(method, "ac") + server.asked(method, "cas") for method in ("HEAD", "PUT")]
    assert len(box.warnings) == 1
    assert box.warnings[0].startswith(f"cache {server.url}: ")
    assert box.warnings[0].endswith("; only the local cache is used for the rest of this build")
    assert ("sends 99999999999999 bytes where" in box.warnings[0]) == (fault == "giant length")
    assert cache.summary.misses == STEPS
    assert cache.summary.strikes == (1 if fault == "401" else 2)


@pytest.mark.parametrize("kind", ["ac", "cas"])
@pytest.mark.parametrize("fault", ["resets", "hangs", "500", "HTML with 200", "other bytes", "giant length"])
def test_one_fault_is_forgiven(box: Box, server: Server, fault: str, kind: str) -> None:
    filled(box, server)
    server.faults["GET", kind] = READ_FAULTS[fault]
    cache = cache_of(box, server, fault)
    assert not restored(cache, box, 0)
    server.faults.clear()
    assert all(restored(cache, box, number) for number in range(STEPS))
    cache.close()
    assert not box.warnings
    assert cache.summary.strikes == 1


def test_not_found_is_no_fault(box: Box, server: Server) -> None:
    cache = cache_of(box, server)
    assert not any(restored(cache, box, number) for number in range(STEPS))
    assert server.asked("GET", "ac") == STEPS
    assert cache.summary.strikes == 0
    assert not box.warnings


def test_nobody_listens(box: Box) -> None:
    cache, start = cache_of(box, Server(port=free_port())), time.monotonic()
    assert not any(restored(cache, box, number) for number in range(STEPS))
    cache.close()
    assert time.monotonic() - start < SLOW
    assert box.warnings == [
        f"{box.warnings[0].partition(': ')[0]}: Connection refused; "
        "only the local cache is used for the rest of this build"
    ]


def test_a_listener_that_never_accepts(box: Box) -> None:
    """Connections wait in the kernel, and then not even there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        cache, start = cache_of(box, Server(port=listener.getsockname()[1])), time.monotonic()
        assert not any(restored(cache, box, number) for number in range(STEPS))
        assert time.monotonic() - start < SLOW
    assert len(box.warnings) == 1


def test_a_name_server_that_is_silent(box: Box, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a name up has no timeout at all."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: time.sleep(3))
    cache, start = cache_of(box, server), time.monotonic()
    assert not any(restored(cache, box, number) for number in range(STEPS))
    assert time.monotonic() - start < SLOW
    assert len(box.warnings) == 1


def test_a_login_goes_to_no_other_host(box: Box, server: Server) -> None:
    with serving(Server()) as other:
        server.faults["GET", "ac"] = lambda handler: handler.answer(307, Location=f"{other.url}/ac/{key(0)}")
        place = Settings(
            place=server.url, local=box.store, url=Secret(server.url), header=("Authorization", Secret("Bearer s3cret"))
        )
        cache = Cache(place, box.warnings.append)
        assert not any(restored(cache, box, number) for number in range(3))
        assert not other.requests
    told = "307 Temporary Redirect: redirects are not followed"
    done = "only the local cache is used for the rest of this build"
    assert box.warnings == [f"cache {server.url}: {told}; {done}"]


def test_many_threads_make_one_warning(box: Box, server: Server) -> None:
    server.faults["GET", "ac"] = READ_FAULTS["500"]
    cache = cache_of(box, server)
    threads = [
        threading.Thread(target=cache.restore, args=(key(each), {"w": box.top / f"w{each}"})) for each in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(box.warnings) == 1
    assert cache.summary.misses == 16


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


@pytest.mark.parametrize("kind", ["ac", "cas"])
@pytest.mark.parametrize("fault", WRITE_FAULTS)
def test_a_server_that_takes_no_pushes(box: Box, server: Server, fault: str, kind: str) -> None:
    """Steps are kept locally, one warning, no entry at the remote without its contents."""
    behaviour, told = WRITE_FAULTS[fault]
    server.faults["PUT", kind] = behaviour
    cache, start = cache_of(box, server, fault), time.monotonic()
    for number in range(STEPS):
        cache.store(key(number), box.made(weights=CONTENT, log=f"{number}".encode()), 1.0)
    assert all(restored(cache, box, number) for number in range(STEPS))
    cache.close()
    assert time.monotonic() - start < SLOW + 1
    assert len(box.warnings) == 1
    assert told in box.warnings[0]
    assert not any(path.startswith("ac/") for path in server.held)
    if told.startswith("takes"):
        assert f"({told[len('takes no pushes (') :]}; nothing more is sent in this build" in box.warnings[0]


def test_reading_goes_on_where_pushing_may_not(box: Box, server: Server) -> None:
    filled(box, server)
    server.faults["PUT", "cas"] = WRITE_FAULTS["403"][0]
    cache = cache_of(box, server)
    for number in range(10, 14):
        cache.store(key(number), box.made(weights=CONTENT, log=f"{number}".encode()), 1.0)
    assert all(restored(cache, box, number) for number in range(STEPS))
    cache.close()
    assert cache.summary.hits_remote == STEPS
    assert len(box.warnings) == 1


def test_the_end_of_a_build_does_not_wait_for_ever(box: Box, server: Server) -> None:
    """A server just fast enough for every timeout."""

    def slowly(handler: Handler) -> None:
        time.sleep(0.3)
        handler.behave()

    server.faults["PUT", "cas"] = slowly
    cache = cache_of(box, server, "none", wait=0.5)
    for number in range(60):
        cache.store(key(number), box.made(weights=str(number).encode()), 1.0)
    start = time.monotonic()
    cache.close()
    assert time.monotonic() - start < 2
    assert len(box.warnings) == 1
    assert box.warnings[0].endswith(" of the pushes did not end in 0.5 s and are given up")


def test_an_interrupted_build_does_not_wait_at_all(box: Box, server: Server) -> None:
    server.faults["PUT", "cas"] = hangs
    cache = cache_of(box, server, "none")
    cache.store(key(1), box.made(weights=b"w"), 1.0)
    start = time.monotonic()
    cache.close(wait=False)
    assert time.monotonic() - start < 0.5
    assert not box.warnings


def test_an_output_that_changes_before_it_is_pushed(box: Box, server: Server) -> None:
    """Without a local store the output itself is sent; another content than the key's is not."""
    (box.top / "file").write_text("no folder")
    gate = threading.Event()
    server.faults["PUT", "cas"] = lambda handler: (gate.wait(5), handler.behave())
    url = Secret(server.url)
    place = Settings(place=server.url, local=box.top / "file/store", url=url, pushes=True, timeout=10)
    cache, made = Cache(place, box.warnings.append), [box.made(weights=b"right%d" % number) for number in range(12)]
    for number, files in enumerate(made):
        cache.store(key(number), files, 1.0)
    for files in made:
        files["weights"].write_bytes(b"wrong")
    del server.faults["PUT", "cas"]
    gate.set()
    cache.close()
    assert all(sha256(content) == path[4:] for path, content in server.held.items() if path.startswith("cas/"))
    assert len(box.warnings) == 1


HOSTILE = {
    "parent folder": Output("../weights", sha256(CONTENT), len(CONTENT)),
    "absolute": Output("/etc/passwd", sha256(CONTENT), len(CONTENT)),
    "terabytes": Output("weights", sha256(CONTENT), 1 << 40),
    "wrong size": Output("weights", sha256(CONTENT), len(CONTENT) - 1),
    "digest with a path": Output("weights", "../" * 20 + "etcx", len(CONTENT)),
    "duplicate": Output("log", sha256(CONTENT), len(CONTENT)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_entry(box: Box, server: Server, case: str) -> None:
    server.held |= {f"cas/{sha256(CONTENT)}": CONTENT, f"cas/{sha256(b'0')}": b"0"}
    entry = Entry((HOSTILE[case], Output("log", sha256(b"0"), 1)), 1.0)
    server.faults["GET", "ac"] = lambda handler: handler.answer(200, encode(key(0), entry))
    cache = cache_of(box, server)
    assert not restored(cache, box, 0)
    assert cache.summary.strikes == 1
    assert {path.name for path in box.top.iterdir()} <= {"build0", "local0"}
    assert not [path for path in box.top.rglob("*") if path.is_file()]


def test_one_entry_for_every_key(box: Box, server: Server) -> None:
    """A proxy that ignores the path."""
    filled(box, server)
    data = server.held[f"ac/{key(0)}"]
    server.faults["GET", "ac"] = lambda handler: handler.answer(200, data)
    cache = cache_of(box, server)
    assert [restored(cache, box, number) for number in range(3)] == [True, False, False]
    assert "the entry of another key" in box.warnings[0]


def test_the_destination_is_full(box: Box, server: Server, tmp_path: Path) -> None:
    """A download that cannot be written is no fault of the remote's."""
    filled(box, server)
    cache = cache_of(box, server)
    limited = box.top / "full"
    with small_disk(limited, 16):
        files = {"weights": limited / "weights", "log": limited / "log"}
        assert cache.restore(key(0), files) is None
        assert not list(limited.iterdir())
    assert restored(cache, box, 0)
    assert cache.summary.strikes == 0
    assert not box.warnings
