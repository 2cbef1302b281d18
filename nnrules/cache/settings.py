"""Where the cache is and how it is used: from `cache=`, from the environment, or given."""

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from nnrules.catalog.checked import parse_size
from nnrules.error import UserError, suggest

DEFAULT = ".nnrules/cache"
NONE = "none"
PUSHES = ("always", "ci", "never")

_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_HTTP = ("http", "https")
_MODULES = {  # of other schemes: what must be installed, and with which argument of pip
    "s3": ("s3fs", "nnrules[s3]"),
    "gs": ("gcsfs", "gcsfs"),
    "gcs": ("gcsfs", "gcsfs"),
    "az": ("adlfs", "adlfs"),
    "abfs": ("adlfs", "adlfs"),
    "file": ("fsspec", "fsspec"),
    "memory": ("fsspec", "fsspec"),
    "sftp": ("paramiko", "fsspec paramiko"),
}
_ONE_SLASH = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/(?!/)")  # of more than one letter, which is a drive
_NO = ("", "0", "false", "no")


class Secret:
    """A text that no message, log or representation shows."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "***"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """`place`: a folder or a URL, without user and password, as messages show it. `local`: the store on this machine;
    for a URL the one in front of it. `size`: its cap in bytes, and the most that one step's outputs may have together.
    `pushes`: whether this build sends what it made to the URL. `url`: None for a folder. `header`: name and value, sent
    with every request. `certificates`: a file of authorities, None: the system's. `timeout`: seconds in which a
    connection, an answer or its next piece must come. `wait`: seconds that the end of a build waits for pushes."""

    place: str
    local: Path
    size: int = 5 * 1024**3
    read_only: bool = False
    pushes: bool = False
    url: Secret | None = None
    header: tuple[str, Secret] | None = None
    certificates: str | None = None
    netrc: str | None = None
    timeout: float = 10.0
    wait: float = 60.0

    @property
    def over_http(self) -> bool:
        """Whether the URL is HTTP's, not one of fsspec's."""
        return self.url is not None and _scheme(self.url.text) in _HTTP


def settings(
    text: str | None,
    environment: Mapping[str, str],
    top: Path,
    *,
    place: str = "cache",
    size: str | int | None = None,
    read_only: bool | None = None,
    push: str | None = None,
) -> Settings | None:
    """The settings for `text`: a path (relative to `top`), a URL, or "none", which gives None.

    What is not given the environment says: NNRULES_CACHE, NNRULES_CACHE_SIZE, NNRULES_CACHE_READ_ONLY,
    NNRULES_CACHE_PUSH. `place`: where `text` was found, for messages. Raises UserError.
    """
    if text is None and (text := environment.get("NNRULES_CACHE") or None):
        place = "NNRULES_CACHE"
    text = text or DEFAULT
    if text == NONE:
        return None
    if any(ord(letter) < 0x20 for letter in text):
        raise UserError(place, "holds a control character", "give a folder, a URL or none")
    read_only = _read_only(environment) if read_only is None else read_only
    pushes = _pushes(environment, push, place) and not read_only
    cap = _size(environment, size, place)
    if match := _ONE_SLASH.match(text):
        raise UserError(place, f"{match[1]}:/ is followed by one slash only", f"write {match[1]}://")
    if "://" not in text:
        return Settings(place=text, local=(top / Path(text).expanduser()).absolute(), size=cap, read_only=read_only)
    shown, bare, login = _split(place, text)
    http = _scheme(text) in _HTTP
    return Settings(
        place=shown,
        local=(top / DEFAULT).absolute(),
        size=cap,
        read_only=read_only,
        pushes=pushes,
        url=Secret(bare if http else text),
        header=(_header(environment) or login) if http else None,
        certificates=environment.get("SSL_CERT_FILE") or None,
        netrc=environment.get("NETRC") or None,
    )


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower()


def _split(place: str, text: str) -> tuple[str, str, tuple[str, Secret] | None]:
    """The URL as it may be shown, the URL without user and password, and the header made of those. Raises UserError."""
    from urllib.parse import unquote, urlsplit

    scheme, _, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, host = authority.rpartition("@")
    bare = f"{scheme.lower()}://{host}{rest[len(authority) :].rstrip('/')}"
    shown, http = bare.partition("?")[0], scheme.lower() in _HTTP
    if "@" in rest[len(authority) :] and (http or ":" in authority):  # a password with one of /?#, which ends it
        cure = "write / ? # and @ in a name, a password or a path as %2F %3F %23 %40"
        raise UserError(place, f"{scheme.lower()}://... has an '@' after a '/', a '?' or a '#'", cure)
    if not http:
        _need_module(place, shown)
        return shown, bare, None
    try:
        parts = urlsplit(bare)
        valid = bool(parts.hostname) and parts.port != 0 and " " not in bare
    except ValueError:
        valid = False
    if not valid:
        shown = shown if at or ":" not in authority else f"{scheme.lower()}://..."  # a login whose host is missing
        raise UserError(place, f"{shown!r} is not a URL", "write it like https://cache.example.com:8080/nnrules")
    if parts.query or parts.fragment:
        raise UserError(place, f"{shown} goes on with '?' or '#'", "leave that out; NNRULES_CACHE_HEADER takes a token")
    return shown, bare, _basic(unquote(login)) if at else None


def _basic(login: str) -> tuple[str, Secret]:
    from base64 import b64encode

    return "Authorization", Secret("Basic " + b64encode(login.encode()).decode())


def _need_module(place: str, shown: str) -> None:
    """Raises UserError where the scheme is none of fsspec's, or a package is not installed."""
    scheme = _scheme(shown)
    if scheme not in _MODULES:
        raise UserError(place, f"there is no cache at {scheme}://", suggest(scheme, [*_HTTP, *_MODULES]))
    module, wanted = _MODULES[scheme]
    if importlib.util.find_spec(module) is None:
        raise UserError(place, f"{shown} needs {module}, which is not installed", f"pip install '{wanted}'")


def _header(environment: Mapping[str, str]) -> tuple[str, Secret] | None:
    text = environment.get("NNRULES_CACHE_HEADER", "").strip()
    if not text:
        return None
    match = _HEADER.fullmatch(text)
    if match is None:
        raise UserError("NNRULES_CACHE_HEADER", "is not a header", 'write it like "Authorization: Bearer TOKEN"')
    return match[1], Secret(match[2])


def _pushes(environment: Mapping[str, str], push: str | None, place: str) -> bool:
    if push is None:
        push, place = environment.get("NNRULES_CACHE_PUSH") or "always", "NNRULES_CACHE_PUSH"
    if push not in PUSHES:
        raise UserError(place, f"push={push!r} is not known", suggest(push, PUSHES))
    return push == "always" or (push == "ci" and environment.get("CI", "").lower() not in _NO)


def _read_only(environment: Mapping[str, str]) -> bool:
    return environment.get("NNRULES_CACHE_READ_ONLY", "").lower() not in _NO


def _size(environment: Mapping[str, str], size: str | int | None, place: str) -> int:
    if size is None:
        size, place = environment.get("NNRULES_CACHE_SIZE") or "5 GB", "NNRULES_CACHE_SIZE"
    return parse_size(place, size)
