"""Older versions of SCons."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.foreign.environments import once, pip
from tests.foreign.project import Foreign
from tests.foreign.test_environments import APP, PROGRAM, WAYS
from tests.needs import need_command
from tests.rules.project import TOP

VERSIONS = ("4.4.0", "4.6.0", "4.8.1")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_program_with_a_model(foreign: Foreign, downloads: Path, version: str) -> None:
    need_command("gcc", "gcc")
    folder = downloads / f"scons-{version}"
    with once(folder) as missing:
        if missing:
            pip("install", "--quiet", "--no-deps", "--target", str(folder), f"scons=={version}")
    app = replace(foreign, path=(folder, TOP))
    app.model("dense", "src/models")
    app.write("src/app.c", APP)
    app.write("src/SConscript", 'Import("env")\n' + PROGRAM)
    start = f"import nnrules, SCons\nEnsureSConsVersion({version.replace('.', ', ')})\nprint(SCons.__version__)\n"
    app.write("SConstruct", start + WAYS["tool"] + 'SConscript("src/SConscript", variant_dir="out", exports="env")\n')
    assert app.built().splitlines()[0] == version
    assert app.run("out/app").stdout == app.says("dense")
    assert app.built().endswith("scons: `.' is up to date.\n")
