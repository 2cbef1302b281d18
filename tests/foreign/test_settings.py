"""What other people's SConstructs set for the whole of SCons, and what they delete."""

import fcntl
import json

import pytest

from tests.foreign.project import Foreign
from tests.foreign.test_environments import APP, PROGRAM, WAYS
from tests.needs import need_command
from tests.rules.test_lock import TAKEN


@pytest.fixture
def app(foreign: Foreign) -> Foreign:
    """A built program of this machine with a model in it."""
    need_command("gcc", "gcc")
    foreign.model("dense")
    foreign.write("app.c", APP)
    foreign.write("SConstruct", "import nnrules\n" + WAYS["generate"] + PROGRAM)
    return foreign


@pytest.mark.parametrize(
    "setting",
    [
        'Decider("timestamp-newer")',
        'Decider("MD5-timestamp")',
        'Decider("make")\nDefaultEnvironment(CC="false")',
        'CacheDir("objects")',
        "SConscriptChdir(0)",
        'SConsignFile("deep/down")',
        'SetOption("implicit_cache", 1)\nSetOption("num_jobs", 3)',
        'SetOption("hash_format", "sha1")',
        'Repository("elsewhere")',
        'SetOption("warn", "no-all")\nSetOption("stack_size", 128)',
    ],
)
def test_settings(app: Foreign, setting: str) -> None:
    text = (app.top / "SConstruct").read_text()
    app.write("SConstruct", setting + "\n" + text)
    (app.top / "deep").mkdir()
    app.built()
    assert app.run("./app").stdout == app.says("dense")
    assert app.built() == "scons: `.' is up to date.\n"
    (app.top / "models/dense/network.py").touch()
    assert app.built() == "scons: `.' is up to date.\n"


def test_options_with_our_names(app: Foreign) -> None:
    text = (app.top / "SConstruct").read_text()
    added = 'AddOption("--graph", dest="graph", type="string", nargs=1)\nprint("graph", GetOption("graph"))\n'
    app.write("SConstruct", text + added)
    assert "graph None\n" in app.built("-n")
    app.write("SConstruct", added + text)
    assert "graph mine\n" in app.built("-n", "--graph=mine")


def test_help_is_the_users(app: Foreign) -> None:
    app.write(
        "SConstruct", (app.top / "SConstruct").read_text() + 'Help("make it\\n")\nassert len(model.objects) == 2\n'
    )
    assert app.built("-h").startswith("make it\n")
    assert not (app.top / "build").exists()


def test_what_is_deleted_comes_back(app: Foreign) -> None:
    app.built()
    for name in ("dense.h", "dense.c", "nn_port.h", "dense_selftest.c"):
        path = app.top / "build/nnrules/dense/portable/library" / name
        before = path.read_bytes()
        path.unlink()
        printed = app.built()
        assert path.read_bytes() == before
        assert "gcc" not in printed
    (app.top / "build/nnrules/dense/portable/dense.o").unlink()
    assert "gcc -o build/nnrules/dense/portable/dense.o" in app.built()
    app.built("-c")
    assert not (app.top / "build/nnrules/dense/portable/library/dense.c").exists()
    app.built("app")
    assert app.run("./app").stdout == app.says("dense")


def test_a_dry_run_tells_every_step(app: Foreign) -> None:
    app.model("tiny")
    app.write("SConstruct", (app.top / "SConstruct").read_text() + 'env.StaticLibrary("t", env.NNModel("tiny"))\n')
    told = app.built("-n", "cache=none").splitlines()
    for model in ("dense", "tiny"):
        for step in ("] train", "] evaluate", " portable] verify", " portable] release"):
            assert f"[{model}{step}: run" in told
    app.built()
    assert app.built("-n") == "scons: `.' is up to date.\n"


def test_explanations_and_keys(app: Foreign) -> None:
    app.built()
    printed = app.built("-n", "--explain", "dense.quantize.samples=32", "cache=none")
    assert "[dense] quantize: run because option samples" in printed
    app.built("--cache-log=keys.json", "dense.quantize.samples=32")
    assert "dense portable" in (app.top / "keys.json").read_text()


def test_two_build_folders_share_the_signatures(app: Foreign) -> None:
    app.built()
    with (app.top / ".nnrules/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert app.refused("build_dir=other") == TAKEN
        app.built("-n", "build_dir=other")
    app.built("build_dir=other")


def test_a_budget_of_flash_reaches_the_planner(app: Foreign) -> None:
    """It reckons with the flash where there is a budget; each layer has one portable kernel, so none is kept out."""
    script = app.top / "models/dense/SConscript"
    budget = 'Firmware(budget=Budget(flash="6 KB"), plan={"reserve": "5 KB"}, '
    app.write("models/dense/SConscript", script.read_text().replace("Firmware(", budget))
    script.write_text(script.read_text().replace('Import("env")', 'Import("env", "Budget")'))
    app.built()
    room = json.loads((app.top / "build/nnrules/dense/portable/dense.plan.json").read_text())["room"]
    assert room["by"] == ""
    assert room["flash"] == room["least"] > 1024
