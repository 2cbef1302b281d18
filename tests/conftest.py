"""Options and fixtures of all tests: golden files, and projects for the tests of the build itself."""

import fcntl
import os
import signal
from pathlib import Path

import pytest

from tests.rules.project import Project

collect_ignore = ["rules/sample_project"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """--update-golden: take what is generated now as right."""
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


def pytest_configure() -> None:
    """Builds under test obey SIGINT, also where a shell that started pytest in the background has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both models of the project, built once for all of pytest's workers; not to be changed."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    project, complete = Project(base / "built"), base / "built.complete"
    with (base / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            Project.create(project.top)
            done = project.build("model=all", "-j2")
            assert done.status == 0, done.stdout + done.stderr
            complete.touch()
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project, in another folder."""
    return built.copy(tmp_path / "copy")
