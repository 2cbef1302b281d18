"""Fixtures of the tests of the cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.box import Box
from tests.cache.servers import Server, serving


@pytest.fixture
def box(tmp_path: Path) -> Box:
    """A store and its caches."""
    return Box(tmp_path)


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that does as bazel-remote does, until it is told otherwise."""
    with serving(Server()) as listening:
        yield listening
