"""Projects for the tests of the build itself."""

from pathlib import Path

import pytest

from tests.rules.project import Project

collect_ignore = ["rules/sample_project"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Both models of the project, built; not to be changed."""
    project = Project.create(tmp_path_factory.mktemp("built") / "project")
    done = project.build("model=all", "-j2")
    assert done.status == 0, done.stdout + done.stderr
    return project


@pytest.fixture
def project(built: Project, tmp_path: Path) -> Project:
    """A copy of the built project, in another folder."""
    return built.copy(tmp_path / "copy")
