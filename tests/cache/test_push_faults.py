"""Servers that misbehave when they are written to: the build is right, at most one line is said, and it ends soon."""

import threading
import time

import httpx  # noqa: F401 - loading it is no part of what is timed
import pytest

from nnrules.cache import Cache, Settings
from nnrules.cache.settings import Secret
from tests.cache.box import Box, key, sha256
from tests.cache.misbehaviour import (
    CONTENT,
    READ_FAULTS,
    SLOW,
    STEPS,
    WRITE_FAULTS,
    cache_of,
    filled,
    restored,
)
from tests.cache.servers import Handler, Server


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
    server.faults["PUT", "cas"] = READ_FAULTS["hangs"]
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
