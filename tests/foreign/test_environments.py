"""What becomes of somebody else's Environment, and of their SConstruct's variables, folders and options."""

import json
import shutil
from pathlib import Path

import pytest

from tests.foreign.project import Foreign
from tests.needs import need_command
from tests.rules.project import TOP

WAYS = {
    "tool": 'env = Environment()\nenv.Tool("nnrules", toolpath=[nnrules.toolpath()])\n',
    "tools": 'env = Environment(tools=["default", nnrules.tool()])\n',
    "toolpath": 'env = Environment(tools=["default", "nnrules"], toolpath=[nnrules.toolpath()])\n',
    "generate": "env = Environment()\nnnrules.generate(env)\n",
    "shim": 'env = Environment(tools=["default", "nnrules"])\n',
}
PROGRAM = """
model = env.NNModel("models/dense", selftest=True)
env.Program("app", ["app.c", *model], CPPPATH=[model.include])
"""
APP = """#include <stdio.h>
#include "dense.h"

static int8_t arena[DENSE_ARENA_BYTES] __attribute__((aligned(DENSE_ARENA_ALIGN)));

int main(void)
{
    puts(dense_selftest(arena) == 0 ? "self test passed" : "self test failed");
    printf("dense");
    for (int i = 0; i < DENSE_OUTPUT_0_BYTES; i++) {
        printf(" %d", arena[DENSE_OUTPUT_0_OFFSET + i]);
    }
    puts("");
    return 0;
}
"""


@pytest.fixture
def app(foreign: Foreign) -> Foreign:
    """A program of this machine with a model in it."""
    need_command("gcc", "gcc")
    foreign.model("dense")
    foreign.write("app.c", APP)
    foreign.write("SConstruct", "import nnrules\n" + WAYS["generate"] + PROGRAM)
    return foreign


@pytest.mark.parametrize("way", WAYS)
def test_ways_in(app: Foreign, way: str) -> None:
    imported = "" if way == "shim" else "import nnrules\n"
    if way == "shim":
        assert app.run(str(app.python), "-m", "nnrules.cli", "site-tools").status == 0
    after = "import nnrules, nnrules.rules\nassert nnrules.toolpath() and nnrules.rules.Budget\nenv.Clone().NNModel\n"
    app.write("SConstruct", imported + WAYS[way] + PROGRAM + after)
    app.built()
    assert app.run("./app").stdout == app.says("dense")


def test_a_tool_for_every_environment(app: Foreign) -> None:
    app.run(str(app.python), "-m", "nnrules.cli", "site-tools")
    again = 'Environment(tools=["default", "nnrules"]).NNModel("dense")\nimport nnrules; nnrules.tool\n'
    app.write("SConstruct", WAYS["shim"] + again + WAYS["shim"] + again)
    app.built()


def test_the_environment_stays_as_it_was(app: Foreign) -> None:
    check = """
def state(env): return {name: str(value) for name, value in env.Dictionary().items() if name != "BUILDERS"}
env = Environment(CCFLAGS=["-O1", "-Wall"], OBJPREFIX="x-", CPPPATH=["include"])
before, dump, builders, methods = state(env), env.Dump(), set(env["BUILDERS"]), set(vars(env))
nnrules.generate(env)
assert set(vars(env)) - methods == {"NNModel", "NNCache"}
model = env.NNModel("models/dense", selftest=True)
objects = model.objects
assert state(env) == before and env.Dump() == dump and set(env["BUILDERS"]) == builders
assert [node.name for node in objects] == ["x-dense.o", "x-dense_selftest.o"]
"""
    app.write("SConstruct", "import nnrules\n" + check)
    printed = app.built()
    assert "gcc -o build/nnrules/dense/portable/x-dense.o -c -O1 -Wall -Iinclude " in printed


def test_reading_imports_nothing_heavy(app: Foreign) -> None:
    heavy = (
        "torch",
        "numpy",
        "onnx",
        "onnxruntime",
        "jinja2",
        "matplotlib",
        "rich",
        "httpx",
        "google.protobuf",
        "fsspec",
    )
    check = f"import sys\nprint('heavy', [name for name in {heavy} if name in sys.modules])\n"
    app.write("SConstruct", "import nnrules\n" + WAYS["generate"] + PROGRAM + "model.objects\n" + check)
    assert "heavy []\n" in app.built("-n")
    light = (
        "import sys, nnrules\nprint([n for n in sys.modules if n.partition('.')[0] in ('SCons', 'torch', 'msgspec')])"
    )
    assert app.run(str(app.python), "-c", light).stdout == "[]\n"


def test_what_a_model_gives(app: Foreign) -> None:
    check = """
import os
library = "build/nnrules/dense/portable/library"
for way in (env.NNModel("dense"), env.NNModel("models/dense/SConscript"), env.NNModel(Dir("models/dense"))):
    assert way.sources == model.sources[:1] and type(way.sources) is list and way.objects == model.objects[:1]
assert os.path.isabs(model.include) and os.path.relpath(model.include) == library
assert [str(node) for node in model.headers] == [f"{library}/dense.h", f"{library}/nn_port.h"]
assert model.isa == () and str(model.figures) == f"{library}/dense.json"
for nodes in (["a.c"] + model, model + ["a.c"], model[:1], [*model], Flatten([model])): list(nodes)
env.StaticLibrary("nn", model)
"""
    app.write("SConstruct", "import nnrules\n" + WAYS["generate"] + PROGRAM + check)
    app.built("-n")


def test_environments_do_not_meet_in_one_file(app: Foreign) -> None:
    lines = [
        f'one = env.Clone(CCFLAGS=["-O{n}"])\none.Program("app{n}", ["app.c", *one.NNModel("dense", selftest=True)], '
        f'CPPPATH=[one.NNModel("dense").include], OBJPREFIX="{n}.")\n'
        for n in (0, 1, 2)
    ]
    app.write("SConstruct", "import nnrules\n" + WAYS["generate"] + "".join(lines))
    printed = app.built()
    for n, folder in enumerate(("", "2/", "3/")):
        assert f"gcc -o build/nnrules/dense/portable/{folder}dense.o -c -O{n} " in printed
        assert app.run(f"./app{n}").stdout == app.says("dense")
    assert app.stages().count("dense generate") + app.stages("cached").count("dense generate") == 1


@pytest.mark.parametrize("duplicate", [0, 1])
def test_variant_directories(app: Foreign, duplicate: int) -> None:
    for name in ("app.c", "models"):
        (app.top / "src").mkdir(exist_ok=True)
        shutil.move(app.top / name, app.top / "src" / name)
    app.write("src/SConscript", 'Import("env")\n' + PROGRAM)
    text = "import nnrules\n" + WAYS["generate"]
    for n in (1, 2):
        folder = f'variant_dir="out/{n}", duplicate={duplicate}, exports={{"env": env.Clone(CCFLAGS="-O{n}")}}'
        text += f'SConscript("src/SConscript", {folder})\n'
    app.write("SConstruct", text)
    printed = app.built()
    for n in (1, 2):
        assert f"gcc -o out/{n}/dense.o -c -O{n} build/nnrules/dense/portable/library/dense.c\n" in printed
        assert app.run(f"out/{n}/app").stdout == app.says("dense")
    assert not list((app.top / "src").glob("**/*.o"))
    assert app.built() == "scons: `.' is up to date.\n"


def test_their_build_folder_holds_ours(app: Foreign) -> None:
    app.write("SConstruct", 'SConscript("main.scons", variant_dir="build", duplicate=1)\n')
    app.write("main.scons", "import nnrules\n" + WAYS["generate"] + PROGRAM.replace("models", "#models"))
    app.built()
    assert app.run("build/app").stdout == app.says("dense")
    assert app.built().endswith("scons: `.' is up to date.\n")


def test_the_command_line_is_shared(app: Foreign) -> None:
    app.write(
        "SConstruct", (app.top / "SConstruct").read_text() + 'print("mine", ARGUMENTS["target"], ARGUMENTS["a.b"])\n'
    )
    printed = app.built("target=board", "a.b=c", "other.train.epochs=x", "dense.train.epochs=2", "build_dir=out")
    assert "mine board c\n" in printed
    assert len(json.loads((app.top / "out/dense/dense.train.json").read_text())["loss"]) == 2
    assert (app.top / "out/dense/portable/library/dense.c").is_file()
    assert not (app.top / "build").exists()


def test_a_cache_that_the_sconstruct_names(app: Foreign) -> None:
    plain = Foreign(app.top, None)
    for way in ('nnrules.generate(env, cache="shared")\n', 'nnrules.generate(env)\nenv.NNCache("shared")\n'):
        app.write("SConstruct", "import nnrules\nenv = Environment()\n" + way + PROGRAM)
        shutil.rmtree(app.top / "build", ignore_errors=True)
        plain.built("dense.train.epochs=1")
        assert (app.top / "shared/ac").is_dir()
    assert plain.stages("cached").count("dense train") == 1
    plain.built("cache=other", "dense.train.epochs=2")
    assert (app.top / "other/ac").is_dir()


def test_data_of_the_command_line(app: Foreign) -> None:
    source = app.top / "models/dense/dataset.py"
    source.write_text(source.read_text().replace("split: str)", "split: str, data: object = None)"))
    app.write("real/lines.csv", "1")
    app.built("data=real")
    assert app.built("data=real").startswith("scons: `.' is up to date.")
    app.write("real/lines.csv", "2")
    app.built("data=real")
    assert "dense train" in app.stages() + app.stages("cached")


def test_where_the_proof_fails_nothing_is_compiled(app: Foreign, tmp_path: Path) -> None:
    for name in ("nnrules", "kernels", "toolchains"):
        shutil.copytree(TOP / name, tmp_path / "copy" / name, ignore=shutil.ignore_patterns("__pycache__"))
    verify = tmp_path / "copy/nnrules/stages/verify.py"
    verify.write_text(verify.read_text().replace("\nfrom", "\nraise SystemExit(1)\nfrom", 1))
    broken = Foreign(app.top, app.cache, path=(tmp_path / "copy",))
    done = broken.scons("-k")
    assert done.status == 2
    assert "gcc -o build" not in done.stdout
    assert not (app.top / "build/nnrules/dense/portable/library").exists()
    assert broken.stages("failed") == ["dense verify"]


def test_a_target_of_toolchains(app: Foreign) -> None:
    app.write(
        "SConstruct", ("import nnrules\n" + WAYS["generate"] + PROGRAM).replace('dense"', 'dense", target="x86-64"', 1)
    )
    app.built()
    assert app.run("./app").stdout == app.says("dense")
    figures = json.loads((app.top / "build/nnrules/dense/x86-64/library/dense.json").read_text())
    assert figures["verify"]["engines"] == ["torch", "numpy", "onnxruntime", "c-host", "c-target"]
    assert figures["flash"]["total"] > 0
