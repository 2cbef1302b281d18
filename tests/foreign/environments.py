"""Virtual environments for the tests: what they add comes from PyPI, torch and the like from the running Python."""

import fcntl
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rules.project import TOP


@contextmanager
def once(folder: Path) -> Iterator[bool]:
    """Whether the folder is still to be made; one process at a time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder.with_name(folder.name + ".done")
    with folder.with_name(folder.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()


def pip(*words: str) -> None:
    """The running Python's pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def wheel(folder: Path) -> Path:
    """The project's wheel, built into a folder."""
    with once(folder) as missing:
        if missing:
            pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(TOP))
    (file,) = folder.glob("nnrules-*.whl")
    return file


def environment(folder: Path, *packages: str) -> Path:
    """A virtual environment's Python. Its own packages come before the running Python's."""
    python = folder / "bin/python"
    with once(folder) as missing:
        if missing:
            venv.create(folder, clear=True, symlinks=True)
            (site,) = folder.glob("lib/python*/site-packages")
            running = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
            (site / "running.pth").write_text("\n".join(running) + "\n")
            for package in packages:
                alone = ["--no-deps"] if package.endswith(".whl") else []
                pip("--python", str(python), "install", "--quiet", "--ignore-installed", *alone, package)
    return python
