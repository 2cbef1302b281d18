"""A remote over HTTP that is well: bazel-remote's rules, what is pushed and fetched, logins."""

import os
import shutil
import time
from typing import Any

import pytest

from nnrules.cache import Cache, Summary, settings
from tests.cache.box import Box, check, key, sha256
from tests.cache.checkouts import LOGIN, WEIGHTS, build, elsewhere, open_cache
from tests.cache.servers import Server, serving


def test_another_checkout_takes_what_one_made(box: Box, server: Server) -> None:
    made = build(box, server.url)
    assert (made.misses, made.hits, made.strikes) == (1, 0, 0)
    assert made.bytes_up >= len(WEIGHTS) + 3
    found = elsewhere(box, server.url)
    assert (found.hits_remote, found.hits_local, found.misses, found.strikes) == (1, 1, 0, 0)
    assert found.text() == "cache: 2 hits (1 local, 1 remote), 0 misses, 1.0 MB down, 5.0 s saved"
    assert not box.warnings


def test_contents_go_before_the_entry(box: Box, server: Server) -> None:
    build(box, server.url)
    puts = [path for method, path in server.requests if method == "PUT"]
    assert sorted(puts[:2]) == sorted([f"/cas/{sha256(WEIGHTS)}", f"/cas/{sha256(b'log')}"])
    assert puts[2:] == [f"/ac/{key(1)}"]


def test_a_large_content_that_is_there_is_not_sent_again(box: Box, server: Server) -> None:
    build(box, server.url)
    server.requests.clear()
    del server.held[f"ac/{key(1)}"]
    build(box, server.url)
    assert ("PUT", f"/cas/{sha256(WEIGHTS)}") not in server.requests
    assert ("PUT", f"/ac/{key(1)}") in server.requests


def test_contents_that_are_local_are_not_fetched(box: Box, server: Server) -> None:
    build(box, server.url)
    cache = open_cache(box, server.url)
    cache.store(key(2), box.made(weights=WEIGHTS), 1.0)
    assert cache.restore(key(1), box.wanted("weights", "log", "nothing"))
    asked = [path for method, path in server.requests if method == "GET" and path.startswith("/cas")]
    assert asked == [f"/cas/{sha256(b'log')}"]


def test_a_damaged_local_content_is_fetched_anew(box: Box, server: Server) -> None:
    build(box, server.url)
    cache = open_cache(box, server.url)
    assert cache.restore(key(1), box.wanted("weights", "log", "nothing"))
    store = next(box.top.glob("checkout1/.nnrules/cache"))
    blob = store / "cas" / sha256(b"log")[:2] / sha256(b"log")
    for damage in (lambda: blob.write_bytes(b"bad"), blob.unlink):
        damage()
        files = box.wanted("weights", "log", "nothing")
        restored = cache.restore(key(1), files)
        assert restored is not None
        assert restored.remote
        check(files, {"weights": WEIGHTS, "log": b"log", "nothing": b""})
        assert blob.read_bytes() == b"log"


def test_lookup_and_blob_ask_the_remote(box: Box, server: Server) -> None:
    build(box, server.url)
    cache = open_cache(box, server.url)
    entry = cache.lookup(key(1))
    assert entry is not None
    assert {output.name for output in entry.outputs} == {"weights", "log", "nothing"}
    assert server.asked("GET", "cas") == 0
    assert cache.blob(sha256(b"log"), 3) == b"log"
    assert cache.blob(sha256(b"log"), 3) == b"log"
    assert server.asked("GET", "cas") == 1
    assert cache.blob(sha256(b"unknown"), 3) is None
    assert cache.lookup(key(2)) is None
    assert not box.warnings


def test_a_remote_that_lost_a_content_is_a_miss_and_is_repaired(box: Box, server: Server) -> None:
    """A server that does not check its entries, as nginx; nothing counts against it."""
    build(box, server.url)
    entry = server.held[f"ac/{key(1)}"]
    server.faults["GET", "ac"] = lambda handler: handler.answer(200, entry)
    del server.held[f"cas/{sha256(b'log')}"]
    assert elsewhere(box, server.url).misses == 1
    build(box, server.url)
    assert elsewhere(box, server.url).hits_remote == 1
    assert not box.warnings


def test_a_wrong_content_at_the_remote_is_repaired(box: Box, server: Server) -> None:
    """Of the right length, so that asking for it tells nothing: whoever found it wrong sends it again."""
    build(box, server.url)
    server.held[f"cas/{sha256(WEIGHTS)}"] = WEIGHTS[::-1]
    found = build(box, server.url)
    assert (found.misses, found.strikes) == (1, 1)
    assert elsewhere(box, server.url).hits_remote == 1
    assert not box.warnings


def local_hit(box: Box, url: str, wait: bool = True, **named: Any) -> Summary:
    """Restore step 1 from the store of the first checkout, while it is given this remote."""
    found = settings(url, {"NETRC": os.devnull}, box.top / "checkout0", **named)
    assert found is not None
    cache, files = Cache(found, box.warnings.append), box.wanted("weights", "log", "nothing")
    restored = cache.restore(key(1), files)
    assert restored is not None
    assert not restored.remote
    shutil.rmtree(files["weights"].parents[1])
    cache.close(wait)
    return cache.summary


def test_what_is_local_is_offered_to_a_younger_remote(box: Box, server: Server) -> None:
    build(box, server.url, push="never")
    assert not server.held
    server.requests.clear()
    assert local_hit(box, server.url).bytes_up >= len(WEIGHTS) + 3
    assert server.asked("GET", "ac") == 1
    assert elsewhere(box, server.url).hits_remote == 1
    assert not box.warnings


def test_what_the_remote_has_is_offered_with_one_question(box: Box, server: Server) -> None:
    build(box, server.url)
    server.requests.clear()
    found = local_hit(box, server.url)
    assert server.requests == [("GET", f"/ac/{key(1)}")]
    assert (found.hits_local, found.bytes_up, found.strikes) == (1, 0, 0)


def test_what_came_from_the_remote_is_not_offered(box: Box, server: Server) -> None:
    build(box, server.url)
    server.requests.clear()
    assert elsewhere(box, server.url).hits_local == 1
    assert server.asked("GET", "ac") == 1


@pytest.mark.parametrize("more", [{"push": "never"}, {"push": "ci"}, {"read_only": True}], ids=str)
def test_who_may_not_push_offers_nothing(box: Box, server: Server, more: dict[str, Any]) -> None:
    build(box, server.url, push="never")
    server.requests.clear()
    local_hit(box, server.url, **more)
    assert not server.requests


def test_an_interrupted_build_does_not_wait_for_what_is_offered(box: Box, server: Server) -> None:
    build(box, server.url, push="never")
    server.faults["GET", "ac"] = lambda _: time.sleep(3)
    start = time.monotonic()
    local_hit(box, server.url, wait=False)
    assert time.monotonic() - start < 1
    assert not box.warnings


@pytest.mark.parametrize("push", ["never", "ci"])
def test_who_may_not_push_pushes_nothing(box: Box, server: Server, push: str) -> None:
    build(box, server.url, push=push)
    build(box, server.url, read_only=True)
    assert {method for method, _ in server.requests} == {"GET"}
    build(box, server.url, push="ci", environment={"CI": "true"})
    assert elsewhere(box, server.url, push=push).hits_remote == 1
    assert not box.warnings


def test_everything_lies_below_the_path_of_the_url(box: Box) -> None:
    with serving(Server(base="/team/nn")) as server:
        build(box, server.url + "/")
        assert all(path.startswith(("/team/nn/ac/", "/team/nn/cas/")) for _, path in server.requests)
        assert elsewhere(box, server.url).hits_remote == 1


@pytest.mark.parametrize("way", ["url", "header", "netrc"])
def test_logins(box: Box, server: Server, way: str) -> None:
    (box.top / "netrc").write_text("machine 127.0.0.1 login ci password s3cret\n")
    (box.top / "netrc").chmod(0o600)
    url = server.url.replace("//", "//ci:s3cret@") if way == "url" else server.url
    environment = {
        "url": {"NETRC": str(box.top / "netrc")},
        "header": {"NNRULES_CACHE_HEADER": f"authorization: {LOGIN}", "NETRC": str(box.top / "netrc")},
        "netrc": {"NETRC": str(box.top / "netrc")},
    }[way]
    build(box, url, environment=environment)
    assert {headers["authorization" if way == "header" else "Authorization"] for headers in server.headers} == {LOGIN}


def test_no_login_where_none_is_known(box: Box, server: Server) -> None:
    (box.top / "netrc").write_text("machine elsewhere login ci password s3cret\n")
    build(box, server.url, environment={"NETRC": str(box.top / "netrc")})
    (box.top / "netrc").write_text("nonsense s3cret")
    server.held.clear()
    build(box, server.url, environment={"NETRC": str(box.top / "netrc")})
    assert not any("Authorization" in headers for headers in server.headers)


def test_pushes_do_not_hold_up_the_build(box: Box, server: Server) -> None:
    server.faults["PUT", "cas"] = lambda _: time.sleep(0.5)
    cache = open_cache(box, server.url)
    start = time.monotonic()
    cache.store(key(1), box.made(weights=b"w"), 1.0)
    assert time.monotonic() - start < 0.4
