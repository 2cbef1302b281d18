"""Where the cache is: what users may write, and what they are told otherwise."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from nnrules.cache import Settings, settings
from nnrules.error import UserError

TOP = Path("/project")
AT = "has an '@' after a '/', a '?' or a '#'; write / ? # and @ in a name, a password or a path as %2F %3F %23 %40"


def read(text: str | None, environment: dict[str, str] | None = None, **given: Any) -> Settings:
    """Settings that are not None."""
    found = settings(text, environment or {}, TOP, place="cache", **given)
    assert found is not None
    return found


def test_a_path_is_relative_to_the_project() -> None:
    assert read("../shared").local == Path("/project/../shared")
    assert read("/var/cache/nn").local == Path("/var/cache/nn")
    assert read("~/nn").local == Path("~/nn").expanduser()
    assert read("/var/cache/nn").place == "/var/cache/nn"
    assert read("/var/cache/nn").url is None


def test_a_path_may_have_an_at_or_a_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read("c:/a@b").local == TOP / "c:/a@b"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    assert read("s3://bucket/a@b").place == "s3://bucket/a@b"


def test_the_default_is_in_the_project() -> None:
    found = read(None)
    assert (found.local, found.size, found.read_only) == (TOP / ".nnrules/cache", 5 * 1024**3, False)


def test_the_environment_says_what_is_not_given() -> None:
    environment = {"NNRULES_CACHE": "/a", "NNRULES_CACHE_SIZE": "2 GB", "NNRULES_CACHE_READ_ONLY": "1"}
    found = read(None, environment)
    assert (found.local, found.size, found.read_only) == (Path("/a"), 2 * 1024**3, True)
    found = read("/b", environment, size="1 MB", read_only=False)
    assert (found.local, found.size, found.read_only) == (Path("/b"), 1024**2, False)


def test_none_is_none() -> None:
    assert settings("none", {}, TOP) is None
    assert settings(None, {"NNRULES_CACHE": "none"}, TOP) is None


def test_a_url_has_a_local_store_in_front() -> None:
    found = read("HTTPS://cache.example.com:8080/team/nn/")
    assert found.local == TOP / ".nnrules/cache"
    assert found.place == "https://cache.example.com:8080/team/nn"
    assert found.url is not None
    assert found.url.text == found.place
    assert found.over_http
    assert found.header is None


def test_a_login_in_the_url_is_never_shown() -> None:
    found = read("https://ci:p%40ss:w0rd@cache.example.com/nn")
    assert found.place == "https://cache.example.com/nn"
    assert found.header is not None
    assert found.header[0] == "Authorization"
    assert found.header[1].text == "Basic Y2k6cEBzczp3MHJk"
    for shown in (repr(found), str(found), repr(found.header)):
        assert "w0rd" not in shown
        assert "Y2k6" not in shown


def test_a_header_of_the_environment_comes_before_the_login() -> None:
    found = read("http://a:b@host/", {"NNRULES_CACHE_HEADER": "X-Token:  abc def "})
    assert found.header is not None
    assert (found.header[0], found.header[1].text) == ("X-Token", "abc def")


@pytest.mark.parametrize(
    ("push", "environment", "pushes"),
    [
        (None, {}, True),
        ("always", {}, True),
        ("never", {"CI": "1"}, False),
        ("ci", {}, False),
        ("ci", {"CI": "true"}, True),
        ("ci", {"CI": "false"}, False),
        (None, {"NNRULES_CACHE_PUSH": "ci"}, False),
        ("always", {"NNRULES_CACHE_READ_ONLY": "yes"}, False),
    ],
)
def test_who_pushes(push: str | None, environment: dict[str, str], pushes: bool) -> None:
    assert read("http://host", environment, push=push).pushes == pushes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("htp://x", "cache: there is no cache at htp://; did you mean 'http'?"),
        ("http://", "cache: 'http://' is not a URL; write it like https://cache.example.com:8080/nnrules"),
        ("http://a b", "cache: 'http://a b' is not a URL; write it like https://cache.example.com:8080/nnrules"),
        (
            "http://u:secret@host:x/",
            "cache: 'http://host:x' is not a URL; write it like https://cache.example.com:8080/nnrules",
        ),
        (
            "http://u:secret@host/?token=secret",
            "cache: http://host/ goes on with '?' or '#'; leave that out; NNRULES_CACHE_HEADER takes a token",
        ),
        (
            "https://u:secret/x",
            "cache: 'https://...' is not a URL; write it like https://cache.example.com:8080/nnrules",
        ),
        *(
            (f"{url}secret@host/x", f"cache: {url.partition('//')[0]}//... {AT}")
            for url in ("https://u:p/", "http://u:p#", "s3://k:p?")
        ),
        ("https://t/secret@host", f"cache: https://... {AT}"),
        ("https:/u:secret@host", "cache: https:/ is followed by one slash only; write https://"),
        ("a\nb", "cache: holds a control character; give a folder, a URL or none"),
    ],
)
def test_what_is_no_place(text: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(text)
    assert str(raised.value) == message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        (
            {"NNRULES_CACHE_HEADER": "secret"},
            'NNRULES_CACHE_HEADER: is not a header; write it like "Authorization: Bearer TOKEN"',
        ),
        (
            {"NNRULES_CACHE_HEADER": "A: b\r\nHost: c"},
            'NNRULES_CACHE_HEADER: is not a header; write it like "Authorization: Bearer TOKEN"',
        ),
        (
            {"NNRULES_CACHE_PUSH": "alway"},
            "NNRULES_CACHE_PUSH: push='alway' is not known; did you mean 'always'?",
        ),
        (
            {"NNRULES_CACHE_SIZE": "big"},
            'NNRULES_CACHE_SIZE: \'big\' is not a size; write it like "48 KB", "4 MB" or 65536',
        ),
        ({"NNRULES_CACHE": "htp://x"}, "NNRULES_CACHE: there is no cache at htp://; did you mean 'http'?"),
    ],
)
def test_what_the_environment_says_wrongly(environment: dict[str, str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(None if "NNRULES_CACHE" in environment else "http://host", environment)
    assert str(raised.value) == message


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for url, message in {
        "s3://bucket/nn": "cache: s3://bucket/nn needs s3fs, which is not installed; pip install 'nnrules[s3]'",
        "gs://u:secret@bucket": "cache: gs://bucket needs gcsfs, which is not installed; pip install 'gcsfs'",
        "file:///x": "cache: file:///x needs fsspec, which is not installed; pip install 'fsspec'",
    }.items():
        with pytest.raises(UserError) as raised:
            read(url)
        assert str(raised.value) == message
