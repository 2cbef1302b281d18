"""Models in somebody else's SConstruct, as docs/firmware.md writes it: what is not ours is as before."""

import re

import pytest

from tests.needs import need_command
from tests.rules.project import TOP, Finished, Project

PAGE = (TOP / "docs/firmware.md").read_text().partition("## Models of the repository's own")[2]
(SCONSTRUCT, *_) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
BROKEN = "int main(void) { return nothing; }\n"


@pytest.fixture
def foreign(project: Project) -> Project:
    """The built project with that SConstruct and its program."""
    need_command("gcc", "gcc")
    (project.top / "build/.sconsign.dblite").rename(project.top / ".sconsign.dblite")
    (project.top / "SConstruct").write_text(SCONSTRUCT)
    (project.top / "blink.c").write_text("int main(void) { return 0; }\n")
    return project


def test_scons_builds_both_and_then_nothing(foreign: Project) -> None:
    elf = foreign.top / "build/dense/x86-64/dense.elf"
    elf.unlink()
    done = foreign.build("model=dense")
    assert done.status == 0, done.stderr
    assert "-O2 blink.c" in done.stdout
    assert (foreign.top / "blink").exists()
    assert elf.exists()
    assert foreign.stages("ran") <= {"dense measure"}
    done = foreign.build("model=dense")
    assert done.stdout.splitlines()[0] == "scons: `.' is up to date."
    assert foreign.stages("ran") == foreign.compiled() == set()


def test_a_program_alone(foreign: Project) -> None:
    before = foreign.last_build()
    done = foreign.build("blink")
    assert done.status == 0
    assert done.stdout.splitlines()[-1] == "gcc -o blink blink.o"
    assert foreign.last_build() == before
    assert {path.name for path in foreign.top.glob(".scons*")} == {".sconsign.dblite"}


def test_the_alias_builds_the_models_alone(foreign: Project) -> None:
    assert "up to date" in foreign.build("model=dense", "all-models").stdout
    assert not (foreign.top / "blink").exists()


@pytest.mark.parametrize("default", ['Default("blink")\n{}', '{}Default("blink")\n'])
def test_a_default_of_its_own(foreign: Project, default: str) -> None:
    (foreign.top / "SConstruct").write_text(default.format(SCONSTRUCT))
    before = foreign.last_build()
    assert foreign.build().status == 0
    assert (foreign.top / "blink").exists()
    assert foreign.last_build() == before


def test_variables_of_its_own(foreign: Project) -> None:
    assert "gcc -o blink.o -c -g blink.c" in foreign.build("debug=1", "blink").stdout
    done = foreign.build("debgu=1", "blink")
    line = "debgu=1: there is no such variable; did you mean 'debug'?\n"
    assert (done.status, done.stdout, done.stderr) == (2, "", line)
    (foreign.top / "SConstruct").write_text(SCONSTRUCT.replace(', variables=["debug"]', ""))
    line = "debug=1: there is no such variable; choose from build_dir, cache, data, model, onnx, samples, target\n"
    assert foreign.build("debug=1").stderr == line


@pytest.mark.parametrize(
    "target",
    [
        'Program("blink", "blink.c")',
        'Command("blink", "blink.c", "exit 7")',
        'Command("blink", "blink.c", lambda target, source, env: 3)',
        'Command("blink", "nowhere.c", Copy("$TARGET", "$SOURCE"))',
    ],
)
def test_its_failures_are_as_without_us(foreign: Project, target: str) -> None:
    (foreign.top / "blink.c").write_text(BROKEN)

    def failed(sconstruct: str) -> Finished:
        (foreign.top / "SConstruct").write_text(sconstruct)
        return foreign.build("blink")

    alone = failed(target)
    assert alone.status == 2
    assert failed(SCONSTRUCT.partition("Program(")[0] + target) == alone
