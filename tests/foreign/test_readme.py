"""What the README and docs/firmware.md say of other people's builds is what the tests run."""

import re

import pytest

from tests.foreign.project import HERE, Foreign
from tests.needs import need_command, need_target
from tests.rules.project import TOP

README, PAGE = ((TOP / name).read_text() for name in ("README.md", "docs/firmware.md"))
SECTION = README.partition("## In your firmware's build")[2].partition("\n## ")[0]
MODEL = dict(re.findall(r"`(models/bars/\w+(?:\.py)?)`:\n\n```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE))
SENSOR = """
static const int8_t *next_row(void) {
    static const int8_t *row = bars_selftest_input;
    const int8_t *const taken = row;
    row += BARS_ROW_BYTES;
    return taken;
}

static void use(const int8_t *output) { console_bytes("bars", output, BARS_OUTPUT_0_BYTES); }
"""
MAIN = """#include "console.h"
#include "bars.h"
SENSOR
void entry(void);

void entry(void) {
    const int8_t *const image = bars_selftest_input;
    int8_t output[BARS_OUTPUT_0_BYTES];
INTERFACE
    use(output);
    console_exit(0);
}
"""
CMAKE = "cmake_minimum_required(VERSION 3.13)\nproject(firmware C)\nadd_executable(firmware main.c)\n"


def listings(language: str) -> list[str]:
    """The code of the README's section and of the page, in order."""
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", SECTION + PAGE, re.DOTALL | re.MULTILINE)
    return found


def application() -> str:
    """A program around the README's lines of C, which tells whether the self test was wrong."""
    (interface,) = (each for each in listings("c") if "bars_selftest" in each)
    assert "{ /* wrong" in interface
    interface = interface.replace("{ /* wrong", '{ console_text("wrong\\n"); /* wrong')
    return MAIN.replace("SENSOR", SENSOR).replace("INTERFACE", interface)


def printed(project: Foreign) -> str:
    """What it prints: rows and the whole image give the same, and nothing is wrong."""
    return 2 * project.says("bars").partition("\n")[2]


@pytest.fixture
def bars(foreign: Foreign) -> Foreign:
    """The README's model in an empty project."""
    for name, text in MODEL.items():
        foreign.write(name, text)
    return foreign


def test_a_firmware(bars: Foreign) -> None:
    need_target("cortex-m7")
    bars.take("bare_metal", "board")
    bars.write("main.c", application())
    bars.write("SConstruct", listings("python")[0])
    bars.built()
    assert bars.emulated("mps2-an500", "firmware.elf") == printed(bars)


def test_the_listings_are_the_files() -> None:
    _, rt_thread, platformio, _ = listings("python")
    assert rt_thread == (HERE / "rt_thread/bsp/nn/SConscript").read_text()
    assert platformio == (HERE / "platformio/nn.py").read_text()


def test_cmake_and_make(bars: Foreign) -> None:
    for command in ("gcc", "cmake", "make"):
        need_command(command, command)
    (command,) = re.findall(r"^    nnrules (build .*)$", SECTION, re.MULTILINE)
    words = command.replace("--target cortex-m7", "--isa portable").split()
    done = bars.run(str(bars.python), "-m", "nnrules.cli", *words)
    assert done.status == 0, done.stderr
    bars.take("platformio/host", "host")
    host = application().replace("void entry(void);\n", "").replace("void entry(void) {", "int main(void) {")
    bars.write("main.c", host.replace('"console.h"', '"host/console.h"'))
    bars.write("CMakeLists.txt", CMAKE + listings("cmake")[0])
    bars.write("Makefile", listings("make")[0])
    for words in (["cmake", "-S", ".", "-B", "out"], ["cmake", "--build", "out"], ["make", "CC=gcc"]):
        done = bars.run(*words)
        assert done.status == 0, done.stdout + done.stderr
    for program in ("out/firmware", "./firmware.elf"):
        assert bars.run(program).stdout == printed(bars)
