"""A real server: nginx with WebDAV, its passwords, its limits, its certificates."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.box import Box, check, key, noise, sha256
from tests.cache.checkouts import LOGIN, WEIGHTS, build, elsewhere, open_cache
from tests.cache.servers import certificate, free_port, nginx


@pytest.fixture(params=[True, False], ids=["create_full_put_path", "MKCOL"])
def webdav(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """nginx, with and without folders of its own making."""
    with nginx(tmp_path / "nginx", full_path=request.param) as url:
        yield url


@pytest.mark.parametrize("base", ["", "/team/nn"])
def test_nginx(box: Box, webdav: str, base: str) -> None:
    made = build(box, webdav + base)
    assert (made.strikes, made.misses) == (0, 1)
    found = elsewhere(box, webdav + base)
    assert (found.hits_remote, found.hits_local, found.strikes) == (1, 1, 0)
    assert (box.top / f"nginx/www{base}/cas/{sha256(WEIGHTS)}").read_bytes() == WEIGHTS
    assert not box.warnings


def test_nginx_with_many_steps_at_once(box: Box, webdav: str) -> None:
    cache = open_cache(box, webdav)
    contents = {number: noise(20_000) for number in range(30)}
    for number, content in contents.items():
        cache.store(key(number), box.made(weights=content), 1.0)
    cache.close()
    cache = open_cache(box, webdav)
    for number, content in contents.items():
        files = box.wanted("weights")
        assert cache.restore(key(number), files)
        check(files, {"weights": content})
    assert not box.warnings


def test_nginx_repairs_what_is_damaged(box: Box, tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx") as url:
        build(box, url)
        blob = tmp_path / f"nginx/www/cas/{sha256(WEIGHTS)}"
        for bad in (WEIGHTS[:-5], WEIGHTS[::-1], b""):
            blob.write_bytes(bad)
            assert elsewhere(box, url).misses == 1
            build(box, url)
            assert elsewhere(box, url).hits_remote == 1
        (tmp_path / f"nginx/www/ac/{key(1)}").write_bytes(b"")
        assert elsewhere(box, url).misses == 1
        build(box, url)
        assert elsewhere(box, url).hits_remote == 1
    assert not box.warnings


def test_nginx_asks_for_a_password(box: Box, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("ci:{PLAIN}s3cret\n")
    more = f'auth_basic "cache"; auth_basic_user_file {tmp_path / "users"};'
    with nginx(tmp_path / "nginx", more=more) as url:
        build(box, url.replace("//", "//ci:s3cret@"))
        assert elsewhere(box, url, environment={"NNRULES_CACHE_HEADER": f"Authorization: {LOGIN}"}).hits_remote == 1
        assert not box.warnings
        assert elsewhere(box, url.replace("//", "//ci:wr0ng@")).misses == 1
    text = "NNRULES_CACHE_HEADER, a netrc file or user:password@ in the URL gives a login"
    done = "only the local cache is used for the rest of this build"
    assert box.warnings == [f"cache {url}: 401 Unauthorized; {text}; {done}"]


@pytest.mark.parametrize(
    ("more", "largest", "told"),
    [
        ("limit_except GET HEAD { deny all; }", "0", "403 Forbidden"),
        ("", "1k", "413 Request Entity Too Large"),
    ],
)
def test_nginx_that_takes_no_pushes_can_be_read(box: Box, tmp_path: Path, more: str, largest: str, told: str) -> None:
    with nginx(tmp_path / "writing") as url:
        build(box, url)
    with nginx(tmp_path / "reading", more=more, largest=largest) as url:
        shutil.copytree(tmp_path / "writing/www", tmp_path / "reading/www", dirs_exist_ok=True)
        cache = open_cache(box, url)
        cache.store(key(2), box.made(weights=noise(5000)), 1.0)
        cache.store(key(3), box.made(weights=noise(5000)), 1.0)
        cache.close()
        assert elsewhere(box, url).hits_remote == 1
    assert box.warnings == [f"cache {url}: takes no pushes ({told}); nothing more is sent in this build"]


def test_nginx_that_takes_pushes_with_a_password_only(box: Box, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("ci:{PLAIN}s3cret\n")
    more = f'limit_except GET HEAD {{ auth_basic "cache"; auth_basic_user_file {tmp_path / "users"}; }}'
    with nginx(tmp_path / "nginx", more=more) as url:
        build(box, url)
    done = "nothing more is sent in this build; see NNRULES_CACHE_HEADER, or NNRULES_CACHE_PUSH=never"
    assert box.warnings == [f"cache {url}: takes no pushes (401 Unauthorized); {done}"]


def test_certificates_are_verified(box: Box, tmp_path: Path) -> None:
    pem = certificate(tmp_path)
    with nginx(tmp_path / "nginx", certificate=pem) as url:
        trusted = {"SSL_CERT_FILE": str(tmp_path / "public.pem")}
        build(box, url, environment=trusted)
        assert elsewhere(box, url, environment=trusted).hits_remote == 1
        assert not box.warnings
        cache = open_cache(box, url)
        assert [cache.restore(key(1), box.wanted("weights", "log", "nothing")) for _ in range(3)] == [None] * 3
    assert len(box.warnings) == 1
    assert "CERTIFICATE_VERIFY_FAILED" in box.warnings[0]
    assert "self-signed certificate" in box.warnings[0]


def test_a_file_of_certificates_that_is_missing(box: Box) -> None:
    cache = open_cache(box, f"https://127.0.0.1:{free_port()}", {"SSL_CERT_FILE": "/nowhere.pem"})
    assert [cache.restore(key(1), box.wanted("weights")) for _ in range(3)] == [None] * 3
    assert len(box.warnings) == 1
    assert "No such file or directory" in box.warnings[0]
