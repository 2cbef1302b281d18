"""Mistakes in other people's SConstructs: one line each, exit code 2."""

import pytest

from tests.foreign.project import Foreign
from tests.needs import need_command

START = "import nnrules\nenv = Environment()\nnnrules.generate(env)\n"


@pytest.fixture
def project(foreign: Foreign) -> Foreign:
    """A project with a model."""
    need_command("gcc", "gcc")
    foreign.model("dense")
    return foreign


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            START + 'env.NNModel("models/dens")\n',
            "SConstruct:4: there is no model models/dens; did you mean 'models/dense'?",
        ),
        (START + 'env.NNModel("dnse")\n', "SConstruct:4: there is no model dnse; did you mean 'dense'?"),
        (START + 'env.NNModel("other/x")\n', "SConstruct:4: there is no model other/x; choose from models/dense"),
        (
            START + 'env.Append(CCFLAGS=["-mcpu=cortex-m4", "-mcpu=cortex-m3"])\nenv.NNModel("dense")\n',
            "SConstruct:5: the flags of the environment say -mcpu=cortex-m4 (armv7em) and -mcpu=cortex-m3 (portable); "
            "keep one of them, or say which is meant with isa= or target=",
        ),
        (
            START + 'env.Append(CCFLAGS=["-mcpu=cortex-m3"])\nenv.NNModel("dense", target="cortex-m7")\n',
            "SConstruct:5: armv7em is asked for, and the flags of the environment say -mcpu=cortex-m3 (portable); "
            "correct one of them",
        ),
        (
            START + 'env.NNModel("dense", target="cortex-m77")\n',
            "SConstruct:4: there is no target 'cortex-m77'; did you mean 'cortex-m7'?",
        ),
        (
            START + 'env.NNModel("net/dense.onnx")\n',
            "SConstruct:4: net/dense.onnx is the file of a model, not a SConscript; "
            "name a folder whose SConscript says env.ImportModel",
        ),
        (
            START + 'env.NNModel("dense", isa="avx1024")\n',
            "SConstruct:4: there is no instruction set 'avx1024'; choose from armv6m, armv7em, mve, portable, rv32imc",
        ),
        (
            START + 'env.NNModel("dense", isa="armv7em", target="cortex-m7")\n',
            "SConstruct:4: target=cortex-m7 and isa=armv7em are both given; say one of them",
        ),
        (
            START + 'env.NNModel("dense", slftest=True)\n',
            "SConstruct:4: NNModel has no option 'slftest'; did you mean 'selftest'?",
        ),
        (
            "import nnrules\nenv = Environment(tools=[nnrules.tool(trget='x')])\n",
            "SConstruct:2: nnrules has no option 'trget'; did you mean 'target'?",
        ),
        (
            START + 'env.NNModel("dense")\nnnrules.generate(env, build_dir="x")\n',
            "SConstruct:5: build_dir=x comes after the first NNModel; say it before",
        ),
        (
            START.replace("(env)", '(env, cache="a")') + 'nnrules.generate(env, cache="b")\n',
            "SConstruct:4: cache=b is not the cache=a of SConstruct:3; say it once",
        ),
        (
            "import nnrules\nenv = Environment(tools=[nnrules.tool()])\nlist(env.NNModel('dense'))\n",
            'SConstruct:3: the environment cannot compile C; give it tools, like tools=["default"]',
        ),
    ],
)
def test_in_a_sconstruct(project: Foreign, text: str, line: str) -> None:
    project.write("SConstruct", text)
    assert project.refused() == line + "\n"


def test_no_model_anywhere(foreign: Foreign) -> None:
    foreign.write("SConstruct", START + 'env.NNModel("dense")\n')
    line = "SConstruct:4: there is no model dense; name a folder that holds a SConscript\n"
    assert foreign.refused() == line


def test_one_name_in_two_folders(project: Foreign) -> None:
    project.model("dense", "old")
    project.write("SConstruct", START + 'env.NNModel("models/dense")\nenv.NNModel("old/dense")\n')
    line = "old/dense/SConscript:3: there is a model 'dense' in models/dense too; rename one of them\n"
    assert project.refused() == line


def test_names_that_are_one_in_c(project: Foreign) -> None:
    project.model("tiny")
    for name, other in (("dense", "a-b"), ("tiny", "a.b")):
        script = project.top / f"models/{name}/SConscript"
        script.write_text(script.read_text().replace(f'"{name}"', f'"{other}"'))
    project.write("SConstruct", START + 'env.NNModel("dense")\nenv.NNModel("tiny")\n')
    line = "models/tiny/SConscript:3: the model names 'a-b' and 'a.b' both become A_B in C; rename one of them\n"
    assert project.refused() == line


def test_a_sconscript_without_firmware(project: Foreign) -> None:
    script = project.top / "models/dense/SConscript"
    script.write_text(script.read_text().partition("quantized.Firmware")[0])
    project.write("SConstruct", START + 'env.NNModel("dense")\n')
    assert project.refused() == "models/dense/SConscript: declares no firmware; end the model with .Firmware()\n"


def test_a_sconscript_with_two_models(project: Foreign) -> None:
    script = project.top / "models/dense/SConscript"
    script.write_text(script.read_text() + script.read_text().partition("\n")[2].replace('"dense"', '"flat"'))
    project.write("SConstruct", START + 'env.NNModel("dense")\n')
    line = "models/dense/SConscript: declares 2 models: dense, flat; give each a folder of its own\n"
    assert project.refused() == line


def test_options_on_the_command_line(project: Foreign) -> None:
    project.write("SConstruct", START + 'env.NNModel("dense")\n')
    line = "dense.trian.epochs=3: dense has no stage 'trian'; did you mean 'train'?\n"
    assert project.refused("dense.trian.epochs=3") == line
    line = "dense.train.epoch=3: train has no option 'epoch'; did you mean 'epochs'?\n"
    assert project.refused("dense.train.epoch=3") == line


def test_an_option_that_no_model_took(project: Foreign) -> None:
    """The build goes on: the word may be the SConstruct's own. What is not a stage's is not spoken of."""
    project.write("SConstruct", START + 'list(env.NNModel("dense"))\nenv.Command("x", [], Touch("$TARGET"))\n')
    line = "dens.train.epochs=3: no model 'dens' is built; did you mean 'dense'?\n"
    for words in (["-n"], []):
        done = project.scons(*words, "dens.train.epochs=3", "debug=1", "my.own.word=1", ".")
        assert (done.status, done.stderr[-len(line) :]) == (0, line)
        assert done.stderr.count("no model") == 1
    assert project.scons("dens.train.epochs=3", "x").stderr == ""
    assert "no model" not in project.scons("dense.train.epochs=3", "-n").stderr


@pytest.mark.parametrize(
    ("limits", "fault"),
    [
        (
            "metric_at_least=1.5",
            "tiny on portable: cells right 0.5 is below 1.5; "
            "train longer, prune or quantize less, or ask for less in budget=",
        ),
        (
            'ram="20"',
            "tiny on portable: RAM 96 of 20 bytes; "
            "the least is 96 bytes, 76 too many, at layer 'stem.0' (24 for all of y, 24 for the work of stem.0, "
            "16 for rows of relu): make that layer's image or channels smaller, or raise budget=",
        ),
    ],
)
def test_a_budget_that_is_broken_before_anything_is_linked(project: Foreign, limits: str, fault: str) -> None:
    project.model("tiny")
    script = project.top / "models/tiny/SConscript"
    script.write_text(script.read_text().replace('ram="16 KB"', limits))
    project.write("SConstruct", START + 'list(env.NNModel("tiny"))\n')
    done = project.scons()
    assert done.status == 2
    assert done.stderr.splitlines()[-1] == fault
    assert "gcc -o build" not in done.stdout
