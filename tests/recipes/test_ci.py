"""docs/ci.md is true: its files parse, its commands build a project, and build it anew from the cache alone.

What only GitHub, GitLab or Docker can do is done as they do it: folders are kept from job to job, and a server with
bazel-remote's rules, or nginx with the page's own lines, stands for the team's.
"""

import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from nnrules.cache.settings import settings
from tests.cache.servers import Server, nginx, serving
from tests.rules.project import TOP, Project

PAGE = (TOP / "docs/ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
GITHUB, GITLAB = (yaml.safe_load(text) for kind, text in BLOCKS if kind == "yaml")
SERVER, DEVELOPER, JOB = (text for kind, text in BLOCKS if kind == "sh")
(NGINX,) = (text for kind, text in BLOCKS if kind == "nginx")
SCONSW = '#!/bin/sh\nexec "$PYTHON" -m SCons -Q "$@"\n'  # without making a .venv
URL, PASSWORD = "https://cache.example.com", "a secret"


class Checkout(Project):
    """A fresh checkout on a runner."""

    def follow(self, script: str, environment: dict[str, str]) -> set[str]:
        """Run lines of a recipe, which must succeed; the steps that ran."""
        (self.top / "sconsw").write_text(SCONSW)
        (self.top / "sconsw").chmod(0o755)
        clean = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("NNRULES_")}
        given = {**clean, "PYTHON": sys.executable, "PYTHONPATH": str(self.top), **environment}
        command = ["sh", "-euc", script]
        done = subprocess.run(command, cwd=self.top, env=given, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return {
            f"{row['model']} {row['stage']}" for row in self.last_build() if row["result"] not in ("cached", "current")
        }


def checkout(top: Path) -> Checkout:
    return Checkout(Project.create(top).top)


def github() -> tuple[str, dict[str, str], list[str]]:
    """The script, the variables and the cached folders of the recipe."""
    job = GITHUB["jobs"]["firmware"]
    actions = {step["uses"].partition("@")[0]: step.get("with", {}) for step in job["steps"] if "uses" in step}
    restored, saved = actions["actions/cache/restore"], actions["actions/cache/save"]
    assert restored["path"] == saved["path"]
    assert restored["key"] == saved["key"]
    assert saved["key"].startswith(restored["restore-keys"])
    return "\n".join(step["run"] for step in job["steps"] if "run" in step), job["env"], [saved["path"]]


def gitlab() -> tuple[str, dict[str, str], list[str]]:
    job = GITLAB["firmware"]
    return "\n".join(job["script"]), job["variables"], job["cache"]["paths"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that the first run of the GitHub recipe leaves."""
    store = tmp_path_factory.mktemp("kept")
    script, variables, paths = github()
    first = checkout(tmp_path_factory.mktemp("first") / "runner")
    assert "tiny train" in first.follow(script, {"CI": "true", **variables})
    for path in paths:
        shutil.copytree(first.top / path, store / path)
    return store


@pytest.mark.parametrize("recipe", [github, gitlab])
def test_the_second_run_runs_nothing(recipe: Any, kept: Path, tmp_path: Path) -> None:
    script, variables, paths = recipe()
    second = checkout(tmp_path / "another runner")
    for path in paths:
        shutil.copytree(kept / path, second.top / path)
    assert second.follow(script, {"CI": "true", **variables}) == set()


@pytest.mark.parametrize("patterns", [GITLAB["firmware"]["artifacts"]["paths"], None])
def test_the_artifacts_are_there(patterns: list[str] | None, built: Project) -> None:
    last = GITHUB["jobs"]["firmware"]["steps"][-1]["with"]["path"].split()
    for pattern in patterns or last:
        assert list(built.top.glob(pattern)), pattern


def test_ci_pushes_with_the_password_and_developers_read(tmp_path: Path) -> None:
    with serving(Server()) as server:
        job = JOB.replace(URL, server.url).replace("model=all", "model=dense")
        ran = checkout(tmp_path / "runner").follow(job, {"CI": "true", "CACHE_PASSWORD": PASSWORD})
        assert "dense train" in ran
        login = "Basic " + base64.b64encode(f"ci:{PASSWORD}".encode()).decode()
        assert {each.get("Authorization") for each in server.headers} == {login}
        server.requests.clear()
        script = DEVELOPER.replace(URL, server.url) + "./sconsw target=cortex-m7 model=dense dense.plan.extra_weights=0"
        ran = checkout(tmp_path / "desk").follow(script, {})
        assert {"dense plan", "dense generate"} <= ran
        assert not {"dense train", "dense export", "dense lower"} & ran
        assert {method for method, _ in server.requests} == {"GET"}


def test_the_lines_for_nginx(tmp_path: Path) -> None:
    with configured(tmp_path) as url:
        content, address = b"x" * 3_000_000, f"{url}/cas/{'a' * 2}/{'a' * 64}"
        assert put(address, content) == 401
        assert put(address, content, f"ci:{PASSWORD}") == 201
        assert get(address) == content


@contextmanager
def configured(top: Path) -> Iterator[str]:
    """nginx with the page's location, its folder and its passwords under `top`."""
    (top / "htpasswd").write_text(f"ci:{{PLAIN}}{PASSWORD}\n")
    lines = NGINX.replace("/srv/nnrules", f"{top}/server/www").replace("/etc/nginx/htpasswd", f"{top}/htpasswd")
    inside = lines.partition("{")[2].rpartition("}")[0]
    more = "} location /cas/ {" + inside
    with nginx(top / "server", more=more) as url:
        yield url


def put(url: str, content: bytes, login: str | None = None) -> int:
    import httpx

    auth = tuple(login.split(":")) if login else None
    return httpx.put(url, content=content, auth=auth).status_code  # type: ignore[arg-type]


def get(url: str) -> bytes:
    import httpx

    return httpx.get(url).content


def test_the_variables_mean_something(tmp_path: Path) -> None:
    names = set(re.findall(r"\bNNRULES_\w+", PAGE))
    assert names <= set(re.findall(r"\bNNRULES_\w+", (TOP / "README.md").read_text()))
    given = {"NNRULES_CACHE": URL, "NNRULES_CACHE_PUSH": "ci", "NNRULES_CACHE_SIZE": "2 GB"}
    assert not settings(None, given, tmp_path).pushes  # type: ignore[union-attr]
    assert settings(None, {**given, "CI": "true"}, tmp_path).pushes  # type: ignore[union-attr]


def test_the_commands_for_docker_are_shell(tmp_path: Path) -> None:
    """As far as that: the words that reach docker and htpasswd."""
    for name in ("docker", "htpasswd"):
        (tmp_path / name).write_text(f'#!/bin/sh\nfor word in {name} "$@"; do echo "$word"; done\n')
        (tmp_path / name).chmod(0o755)
    given = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CACHE_PASSWORD": PASSWORD}
    command = ["sh", "-euc", SERVER]
    words = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert words[:5] == ["htpasswd", "-Bbc", "htpasswd", "ci", PASSWORD]
    assert words[5:7] == ["docker", "run"]
    assert f"{tmp_path}/htpasswd:/etc/bazel-remote/htpasswd:ro" in words
    assert words[-6:-1] == [
        "--max_size",
        "20",
        "--htpasswd_file",
        "/etc/bazel-remote/htpasswd",
        "--allow_unauthenticated_reads",
    ]
