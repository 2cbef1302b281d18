"""Servers that misbehave when they are read: the build is right, at most one line is said, and nothing takes long."""

import socket
import threading
import time
from pathlib import Path

import httpx  # noqa: F401 - loading it is no part of what is timed
import pytest

from nnrules.cache import Cache, Settings
from nnrules.cache.action_result import encode
from nnrules.cache.entry import Entry, Output
from nnrules.cache.settings import Secret
from tests.cache.box import Box, key, sha256
from tests.cache.disks import small_disk
from tests.cache.misbehaviour import (
    CONTENT,
    READ_FAULTS,
    SLOW,
    STEPS,
    cache_of,
    filled,
    restored,
)
from tests.cache.servers import Server, free_port, serving


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
