"""The wheel has all that a build reads, and is enough in somebody else's repository."""

import subprocess
import zipfile
from pathlib import Path

from tests.foreign.environments import wheel
from tests.foreign.project import Foreign
from tests.foreign.test_environments import APP, PROGRAM, WAYS
from tests.needs import need_command
from tests.rules.project import TOP


def tracked(*folders: str) -> set[str]:
    """The files of folders that git knows."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *folders]
    return set(subprocess.run(words, cwd=TOP, capture_output=True, text=True, check=True).stdout.split())


def test_every_file_is_inside(shared_cache: Path) -> None:
    names = set(zipfile.ZipFile(wheel(shared_cache.with_name("wheel"))).namelist())
    ours = tracked("nnrules") | {f"nnrules/{name}" for name in tracked("kernels", "toolchains")}
    metadata = {name for name in names if ".dist-info/" in name}
    assert names - metadata == ours
    assert any(name.endswith("entry_points.txt") for name in metadata)


def test_a_firmware_with_the_installed_package(foreign: Foreign, installed: Path) -> None:
    need_command("gcc", "gcc")
    app = Foreign(foreign.top, foreign.cache, installed, ())
    app.model("dense")
    app.write("app.c", APP)
    app.write("SConstruct", "import nnrules\nprint(nnrules.__file__)\n" + WAYS["generate"] + PROGRAM)
    home = Path(app.built().splitlines()[0])
    assert home.is_relative_to(installed.parents[1])
    assert app.run("./app").stdout == app.says("dense")
    done = app.run(str(installed.with_name("nnrules")), "build", "dense", "--out", "library")
    assert done.status == 0, done.stderr
    assert (app.top / "library/CMakeLists.txt").is_file()
