"""One step, built in one checkout and restored in another."""

import os
import shutil
import stat
from typing import Any

from nnrules.cache import Cache, Summary, settings
from tests.cache.box import Box, check, key

WEIGHTS = bytes(range(256)) * 4000  # a megabyte
LOGIN = "Basic Y2k6czNjcmV0"  # ci:s3cret


def open_cache(box: Box, url: str, environment: dict[str, str] | None = None, **more: Any) -> Cache:
    """A cache as the SConstruct's would be, in a checkout of its own with an empty store."""
    top = box.top / f"checkout{len(list(box.top.glob('checkout*')))}"
    top.mkdir()
    found = settings(url, {"NETRC": os.devnull, **(environment or {})}, top, **more)
    assert found is not None
    return Cache(found, box.warnings.append)


def build(box: Box, url: str, **named: Any) -> Summary:
    """Run a step and push it."""
    cache = open_cache(box, url, **named)
    made = box.made(weights=WEIGHTS, log=b"log", nothing=b"")
    made["weights"].chmod(0o755)
    assert cache.restore(key(1), made) is None
    made = box.made(weights=WEIGHTS, log=b"log", nothing=b"")
    made["weights"].chmod(0o755)
    cache.store(key(1), made, 2.5)
    cache.close()
    return cache.summary


def elsewhere(box: Box, url: str, **named: Any) -> Summary:
    """Restore it in another checkout, twice."""
    cache = open_cache(box, url, **named)
    for hit in range(2):
        files = box.wanted("weights", "log", "nothing")
        restored = cache.restore(key(1), files)
        if restored is None:
            check(files, {})
            break
        assert restored.remote == (hit == 0)
        assert restored.entry.seconds == 2.5
        check(files, {"weights": WEIGHTS, "log": b"log", "nothing": b""})
        assert files["weights"].stat().st_mode & stat.S_IXUSR
        shutil.rmtree(files["weights"].parents[1])
    cache.close()
    return cache.summary
