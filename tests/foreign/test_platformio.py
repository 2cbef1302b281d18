"""A PlatformIO project: an extra script hands the model's objects to PlatformIO's own scons and toolchain."""

import json
import shutil
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.foreign.environments import environment, once, pip
from tests.foreign.project import Foreign
from tests.needs import need_command, need_target

PLATFORMIO, SCONS = "platformio==6.2.0", "scons==4.11.1"
PACKAGE = {"name": "tool-scons", "version": "4.41101.0", "description": "SCons from PyPI", "license": "MIT"}
SPEC = {"owner": "platformio", "id": 8192, "name": "tool-scons", "requirements": None, "uri": None}
LAUNCHER = "import SCons.Script\n\nSCons.Script.main()\n"


@pytest.fixture(scope="session")
def core(downloads: Path) -> Path:
    """PlatformIO's core folder, with SCons where PlatformIO would download it to."""
    folder = downloads / "platformio-core"
    tool = folder / "packages/tool-scons"
    with once(folder) as missing:
        if missing:
            pip("install", "--quiet", "--no-deps", "--target", str(tool), SCONS)
            (tool / "package.json").write_text(json.dumps(PACKAGE))
            record = {"type": "tool", "name": "tool-scons", "version": PACKAGE["version"], "spec": SPEC}
            (tool / ".piopm").write_text(json.dumps(record))
            (tool / "scons.py").write_text(LAUNCHER)
    return folder


@pytest.fixture
def project(foreign: Foreign, core: Path, downloads: Path, installed: Path) -> Foreign:
    """The project, in the hands of a PlatformIO whose Python has the wheel of nnrules."""
    need_command("gcc", "gcc")
    need_target("cortex-m7")
    running = sha256(f"{sys.prefix} {sys.version}".encode()).hexdigest()[:8]
    python = environment(downloads / f"platformio-{running}", PLATFORMIO)
    foreign.take("platformio")
    foreign.take("bare_metal", "board")
    foreign.model("tiny")
    (package,) = installed.parents[1].glob("lib/python*/site-packages/nnrules")
    wheel = foreign.top.parent / "wheel"
    shutil.copytree(package, wheel / "nnrules")
    shutil.copytree(core, foreign.top.parent / "core", symlinks=True)
    settings = {"PLATFORMIO_CORE_DIR": str(foreign.top.parent / "core"), "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no"}
    return replace(foreign, python=python, path=(wheel,), extra=settings)


def test_on_this_machine_and_on_a_board(project: Foreign) -> None:
    done = project.run(str(project.python), "-m", "platformio", "run")
    assert done.status == 0, done.stdout + done.stderr
    assert project.run(".pio/build/host/program.elf").stdout == project.says("tiny")
    assert project.emulated("mps2-an500", ".pio/build/m7/program.elf") == project.says("tiny")
    assert "conv2d_dense_s8__armv7em" in (project.top / "build/nnrules/tiny/armv7em/library/tiny.c").read_text()
    done = project.run(str(project.python), "-m", "platformio", "run", "-v")
    assert "tiny.c" not in done.stdout
