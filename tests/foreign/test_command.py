"""The command `nnrules`: a library for CMake and Make, and its mistakes."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.foreign.project import Foreign
from tests.foreign.test_environments import APP
from tests.needs import need_command, need_target
from tests.rules.project import Finished

FILES = ["CMakeLists.txt", "nn_port.h", "tiny.c", "tiny.h", "tiny.json", "tiny.mk", "tiny_selftest.c"]
CMAKE_APP = """cmake_minimum_required(VERSION 3.13)
project(app C)
set(CMAKE_C_FLAGS "-Wall -Wextra -Werror")
add_subdirectory(library)
add_executable(app app.c)
target_link_libraries(app nnrules::dense_selftest)
"""
CMAKE_FIRMWARE = """cmake_minimum_required(VERSION 3.13)
project(firmware C ASM)
add_subdirectory(library)
add_executable(firmware.elf board/startup.s board/memory.c board/main.c)
target_compile_definitions(firmware.elf PRIVATE WITH_TINY)
target_link_libraries(firmware.elf nnrules::tiny_selftest)
target_link_options(firmware.elf PRIVATE -nostdlib -T${CMAKE_SOURCE_DIR}/board/link.ld)
"""
CROSS = """set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_C_COMPILER arm-none-eabi-gcc)
set(CMAKE_ASM_COMPILER arm-none-eabi-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
set(CMAKE_C_FLAGS_INIT "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16 -O2 -Wall -Wextra -Werror")
set(CMAKE_ASM_FLAGS_INIT "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16")
"""
MAKEFILE = """include library/tiny.mk
CC = arm-none-eabi-gcc
FLAGS = -mcpu=cortex-m7 -mthumb -mfloat-abi=hard -mfpu=fpv5-d16 -Os -Wall -Wextra -Werror
SOURCES = board/startup.s board/memory.c board/main.c $(TINY_SOURCES) $(TINY_SELFTEST_SOURCES)

firmware.elf: $(SOURCES) $(TINY_HEADERS)
\t$(CC) $(FLAGS) $(TINY_CFLAGS) -DWITH_TINY -nostdlib -Tboard/link.ld -o $@ $(SOURCES)
"""


def nnrules(project: Foreign, *words: str) -> Finished:
    """Run the command."""
    return project.run(str(project.python), "-m", "nnrules.cli", *words)


def done(finished: Finished) -> str:
    """What a command that must succeed prints."""
    assert finished.status == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture
def project(foreign: Foreign) -> Foreign:
    """A folder with two models."""
    need_command("gcc", "gcc")
    foreign.model("dense")
    foreign.model("tiny")
    return foreign


@pytest.fixture
def firmware(project: Foreign) -> Foreign:
    """Board files, and a library for the Cortex-M7."""
    need_target("cortex-m7")
    project.take("panda/board", "board")
    project.take("bare_metal", "board")
    printed = done(nnrules(project, "build", "models/tiny", "--target", "cortex-m7", "--out", "library", "-j2"))
    assert printed.splitlines()[-1] == f"library: {', '.join(FILES)}"
    return project


def test_a_program_with_cmake(project: Foreign) -> None:
    need_command("cmake", "cmake")
    done(nnrules(project, "build", "models/dense", "--out", "library", "dense.train.epochs=1"))
    project.write("app.c", APP)
    project.write("CMakeLists.txt", CMAKE_APP)
    done(project.run("cmake", "-S", ".", "-B", "out"))
    done(project.run("cmake", "--build", "out"))
    assert project.run("out/app").stdout == project.says("dense")


def test_a_firmware_with_cmake(firmware: Foreign) -> None:
    need_command("cmake", "cmake")
    firmware.write("cross.cmake", CROSS)
    firmware.write("CMakeLists.txt", CMAKE_FIRMWARE)
    done(firmware.run("cmake", "-S", ".", "-B", "out", "-DCMAKE_TOOLCHAIN_FILE=cross.cmake"))
    done(firmware.run("cmake", "--build", "out"))
    assert firmware.emulated("mps2-an500", "out/firmware.elf") == firmware.says("tiny")


def test_a_firmware_with_make(firmware: Foreign) -> None:
    need_command("make", "make")
    firmware.write("Makefile", MAKEFILE)
    done(firmware.run("make"))
    assert firmware.emulated("mps2-an500", "firmware.elf") == firmware.says("tiny")
    figures = json.loads((firmware.top / "library/tiny.json").read_text())
    assert figures["verify"]["differing"] == 0
    assert "c-target" in figures["verify"]["engines"]
    assert figures["instructions"] > 0
    assert figures["files"].keys() == {"tiny.c", "tiny.h", "tiny_selftest.c", "nn_port.h"}


def test_an_instruction_set_into_a_folder_that_is_ours(project: Foreign) -> None:
    for isa, kernel in (("portable", "conv2d_s8__portable"), ("armv7em", "conv2d_dense_s8__armv7em")):
        done(nnrules(project, "build", "tiny", "--isa", isa, "--out", "library"))
        assert sorted(path.name for path in (project.top / "library").iterdir()) == FILES
        assert kernel in (project.top / "library/tiny.c").read_text()


MISTAKES = {
    "build tinny --out x": "nnrules build: there is no model tinny; did you mean 'tiny'?",
    "build tiny --out x --target cortex-m8": "nnrules build: there is no target 'cortex-m8'; did you mean 'cortex-m7'?",
    "build tiny --out x --isa sse": (
        "nnrules build: there is no instruction set 'sse'; choose from armv6m, armv7em, mve, portable, rv32imc"
    ),
    "build tiny --out x chace=no": "chace=no: there is no such variable; did you mean 'cache'?",
    "build tiny --out x --jbos": "--jbos: there is no such option; see nnrules build --help",
    "build tiny --out x tiny.trian.epochs=1": ("tiny.trian.epochs=1: tiny has no stage 'trian'; did you mean 'train'?"),
    "build tiny": "nnrules build: the following arguments are required: --out",
    "site-tools x": "nnrules: x is one word too many; see nnrules --help",
    "build tiny --out models": (
        "--out models: the folder holds dense, which nnrules did not put there; name a new or an empty folder"
    ),
    "build tiny --out models/tiny/SConscript": (
        "--out models/tiny/SConscript: is not a folder; name a new or an empty folder"
    ),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes(project: Foreign, words: str) -> None:
    finished = nnrules(project, *words.split())
    assert (finished.status, finished.stderr) == (2, MISTAKES[words] + "\n")


def test_a_folder_of_another_model(project: Foreign) -> None:
    done(nnrules(project, "build", "dense", "--out", "library"))
    line = "--out library: the folder holds dense.c, which nnrules did not put there; name a new or an empty folder\n"
    assert nnrules(project, "build", "tiny", "--out", "library").stderr == line
    (project.top / "library/dense.json").write_text("{}")
    line = line.replace("dense.c", "CMakeLists.txt")
    assert nnrules(project, "build", "dense", "--out", "library").stderr == line


def test_the_shim_is_not_written_over(project: Foreign) -> None:
    path = "site_scons/site_tools/nnrules.py"
    assert done(nnrules(project, "site-tools")) == f"{path}: env.Tool('nnrules') works in this folder's SConstruct\n"
    done(nnrules(project, "site-tools"))
    project.write(path, "mine\n")
    line = f"{path}: is there, and is not what nnrules writes; move it away\n"
    assert nnrules(project, "site-tools").stderr == line


KILLED = """import os, shutil
copyfile = shutil.copyfile
def killed(source, copy):
    global left
    if "library" not in str(copy):
        return copyfile(source, copy)
    with open(source, "rb") as file, open(copy, "wb") as half:
        half.write(file.read(-1 if left else 100))
    left -= 1
    left >= 0 or os._exit(137)
shutil.copyfile = killed
left = """


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_folder_of_a_killed_build(project: Foreign, left: int) -> None:
    project.write("site/sitecustomize.py", f"{KILLED}{left}\n")
    broken = replace(project, path=(project.top / "site", *project.path))
    assert nnrules(broken, "build", "tiny", "--out", "library").status != 0
    assert len(list((project.top / "library").iterdir())) == left + 1
    done(nnrules(project, "build", "tiny", "--out", "library"))
    assert sorted(path.name for path in (project.top / "library").iterdir()) == FILES


def test_two_cache_logs(project: Foreign, tmp_path: Path) -> None:
    project.write(
        "SConstruct", "import nnrules\nenv = Environment()\nnnrules.generate(env)\nlist(env.NNModel('dense'))\n"
    )
    project.built("--cache-log=first.json")
    project.built("--cache-log=second.json", "dense.quantize.samples=8")
    assert "samples" in done(nnrules(project, "cache-diff", "first.json", "second.json"))


def test_help(project: Foreign) -> None:
    assert "--target NAME" in done(nnrules(project, "build", "--help"))
    assert "site-tools" in done(nnrules(project, "--help"))


def test_two_libraries_at_a_time(project: Foreign) -> None:
    (project.top / ".nnrules").mkdir()
    with (project.top / ".nnrules/.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done(nnrules(project, "build", "dense", "--out", "library"))
    assert (project.top / "build/nnrules/.sconsign.dblite").exists()
    assert not list(project.top.glob(".sconsign*"))
