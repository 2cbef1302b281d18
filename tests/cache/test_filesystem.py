"""Remotes that fsspec reaches: a folder, memory, and S3 as moto's server speaks it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.cache.box import Box, key, sha256
from tests.cache.test_remote import WEIGHTS, build, elsewhere, open_cache
from tests.needs import need_module


@pytest.fixture(params=["file", "memory", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A remote that is empty; for S3 a bucket of a server on loopback."""
    if request.param == "s3":
        yield request.getfixturevalue("bucket")
        return
    yield {"file": f"file://{tmp_path}/remote", "memory": f"memory://{tmp_path}/nn"}[request.param]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket; the login and the server come from the environment, as they do for everybody."""
    need_module("s3fs", "s3fs")
    need_module("moto", "'moto[s3]' flask flask-cors")
    need_module("flask_cors", "flask-cors")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "s3cret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    files.mkdir(f"bucket{port}")
    try:
        yield f"s3://bucket{port}/team/nn"
    finally:
        server.stop()


def test_another_checkout_takes_what_one_made(box: Box, url: str) -> None:
    made = build(box, url)
    assert (made.misses, made.strikes) == (1, 0)
    found = elsewhere(box, url)
    assert (found.hits_remote, found.hits_local, found.strikes) == (1, 1, 0)
    files, base = fsspec.core.url_to_fs(url)
    assert files.cat_file(f"{base}/cas/{sha256(WEIGHTS)}") == WEIGHTS
    assert files.exists(f"{base}/ac/{key(1)}")
    assert not box.warnings


def test_damage_is_a_miss_and_is_repaired(box: Box, url: str) -> None:
    build(box, url)
    files, base = fsspec.core.url_to_fs(url)
    for bad in (WEIGHTS[:-5], WEIGHTS[::-1]):
        files.pipe_file(f"{base}/cas/{sha256(WEIGHTS)}", bad)
        assert elsewhere(box, url).misses == 1
        build(box, url)
        assert elsewhere(box, url).hits_remote == 1
    for bad in (b"<html>", b""):
        files.pipe_file(f"{base}/ac/{key(1)}", bad)
        assert elsewhere(box, url).misses == 1
        build(box, url)
        assert elsewhere(box, url).hits_remote == 1
    assert not box.warnings


def test_a_content_of_several_requests(box: Box, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnrules.cache import filesystem

    build(box, url)
    for piece in (len(WEIGHTS), len(WEIGHTS) // 4, len(WEIGHTS) // 4 + 1):
        monkeypatch.setattr(filesystem, "_PIECE", piece)
        assert elsewhere(box, url).hits_remote == 1


def test_a_bucket_that_is_not_there(box: Box, bucket: str) -> None:
    """It is not created: the name may be a slip."""
    build(box, bucket)
    cache = open_cache(box, "s3://nowhere/team/nn")
    for number in range(3):
        cache.store(key(number), box.made(weights=b"%d" % number), 1.0)
    cache.close()
    assert len(box.warnings) == 1
    assert box.warnings[0].startswith("cache s3://nowhere/team/nn: FileNotFoundError: ")
    assert not fsspec.filesystem("s3").exists("nowhere")


class Failing(MemoryFileSystem):
    """Everything fails, and the text repeats the login."""

    protocol = "memory"

    def cat_file(self, path: str, **_: Any) -> bytes:
        raise RuntimeError("no such login: me:s3cret\nand more")


class Hanging(MemoryFileSystem):
    """Nothing ever comes."""

    protocol = "memory"

    def cat_file(self, path: str, **_: Any) -> bytes:
        time.sleep(3)
        return b""


def test_a_library_that_fails(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (Failing(), "/"))
    cache = open_cache(box, "memory://me:s3cret@host/nn")
    assert [cache.restore(key(1), box.wanted("weights")) for _ in range(3)] == [None] * 3
    told = "RuntimeError: no such login: ***; only the local cache is used for the rest of this build"
    assert box.warnings == [f"cache memory://host/nn: {told}"]


def test_a_library_that_hangs(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever retries and timeouts it has of its own."""
    from nnrules.cache import Cache, Settings
    from nnrules.cache.settings import Secret

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (Hanging(), "/"))
    place = Settings(place="memory://x", local=box.store, url=Secret("memory://x"), timeout=0.3)
    cache, start = Cache(place, box.warnings.append), time.monotonic()
    assert [cache.restore(key(1), box.wanted("weights")) for _ in range(3)] == [None] * 3
    assert time.monotonic() - start < 2
    assert len(box.warnings) == 1
