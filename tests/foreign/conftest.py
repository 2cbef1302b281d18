"""Empty foreign projects that share a cache."""

import os
from pathlib import Path

import pytest

from tests.foreign.environments import environment, wheel
from tests.foreign.project import Foreign

collect_ignore = ["rt_thread", "panda", "platformio"]


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all of pytest's workers."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "foreign-cache"


@pytest.fixture
def foreign(tmp_path: Path, shared_cache: Path) -> Foreign:
    """An empty project."""
    (tmp_path / "project").mkdir()
    return Foreign(tmp_path / "project", shared_cache)


@pytest.fixture(scope="session")
def downloads(request: pytest.FixtureRequest, shared_cache: Path) -> Path:
    """A folder for what comes from PyPI, kept between runs."""
    kept = getattr(request.config, "cache", None)
    return Path(kept.mkdir("foreign")) if kept else shared_cache.with_name("downloads")


@pytest.fixture(scope="session")
def installed(shared_cache: Path) -> Path:
    """The Python of a clean virtual environment with the project's wheel."""
    file = wheel(shared_cache.with_name("wheel"))
    return environment(shared_cache.with_name("installed"), str(file))
