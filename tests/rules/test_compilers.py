"""What compilers and linkers are told: which linker scripts count, what becomes of folders' names."""

import subprocess
from pathlib import Path

import pytest
from msgspec import structs

from nnrules.catalog.toolchain import Compiler as Driver
from nnrules.catalog.toolchain import Firmware, Target, Toolchain
from nnrules.error import UserError
from nnrules.rules import compilers
from nnrules.rules.compilers import Compiler
from tests.needs import need_command

MAIN = "/* INCLUDE in.words */\nMEMORY { RAM : ORIGIN = __origin, LENGTH = 1M }\nINCLUDE mem/extra.inc\n"


@pytest.fixture
def toolchains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a linker script, two that it includes and one that it does not, below a project's top."""
    folder = tmp_path / "toolchains"
    (folder / "mem").mkdir(parents=True)
    (folder / "main.ld").write_text(MAIN + "SECTIONS { .text : { *(.text) } > RAM /DISCARD/ : { *(*) } }\n")
    (folder / "mem/extra.inc").write_text('INCLUDE "mem/origin.txt";\n')
    (folder / "mem/origin.txt").write_text("__origin = 0x10000;\nINCLUDE mem/extra.inc\n")
    (folder / "other.ld").write_text("")
    monkeypatch.setattr(compilers, "TOOLCHAINS", folder)
    return folder


@pytest.fixture
def compiler(toolchains: Path) -> Compiler:
    firmware = Firmware(linker_script="main.ld")
    driver = Driver(command="gcc", package="gcc")
    chain = Toolchain(target=Target(description="a board"), compiler=driver, firmware=firmware)
    return Compiler(chain, toolchains.parent, Path("build"))


def test_what_a_linker_script_includes_counts(toolchains: Path, compiler: Compiler) -> None:
    names = [path.relative_to(toolchains).as_posix() for path in compiler.scripts]
    assert names == ["main.ld", "mem/extra.inc", "mem/origin.txt"]


def test_a_script_that_is_not_there(toolchains: Path, compiler: Compiler) -> None:
    (toolchains / "main.ld").unlink()
    assert compiler.scripts == [toolchains / "main.ld"]


def test_what_the_linker_would_find_elsewhere_is_refused(toolchains: Path, compiler: Compiler) -> None:
    (toolchains / "mem/origin.txt").write_text("INCLUDE lost.inc\n")
    with pytest.raises(UserError) as raised:
        _ = compiler.scripts
    line = "toolchains/mem/origin.txt: includes lost.inc, which is not in toolchains/; put it there"
    assert str(raised.value) == line
    (toolchains / "lost.inc").touch()
    (toolchains.parent / "lost.inc").touch()
    with pytest.raises(UserError) as raised:
        _ = compiler.scripts
    fault = "includes lost.inc, which is in the project's top folder too; rename one of them"
    assert str(raised.value) == f"toolchains/mem/origin.txt: {fault}"


def test_a_script_in_the_top_folder_is_not_taken(toolchains: Path, compiler: Compiler) -> None:
    need_command("gcc", "gcc")
    (toolchains / "mem/origin.txt").write_text("__origin = 0x10000;\n")
    top = toolchains.parent
    (top / "main.ld").write_text('ASSERT(0, "the script of the top folder")\n')
    (top / "a.c").write_text("int a;\n")
    subprocess.run(["gcc", "-c", "a.c"], cwd=top, check=True)
    linked = ["gcc", "-nostdlib", "-no-pie", "-o", "a.elf", "a.o", *compiler.script]
    subprocess.run(linked, cwd=top, check=True)


@pytest.mark.parametrize("build", ["out", "deep/er/out", "/absolute"])
def test_objects_of_two_build_folders_are_equal(toolchains: Path, compiler: Compiler, build: str) -> None:
    need_command("gcc", "gcc")
    usual = compiled(compiler)
    absolute = build.replace("/absolute", str(toolchains.parent / "absolute"))
    assert compiled(structs.replace(compiler, build=Path(absolute))) == usual
    assert b"build/model/a.c" in usual


def compiled(compiler: Compiler) -> bytes:
    """An object with debug information, from a source in the build folder as SCons names it."""
    top = compiler.top
    source = (top / compiler.build / "model/a.c").relative_to(top)
    (top / source).parent.mkdir(parents=True)
    (top / source).write_text("const char *here = __FILE__;\n")
    words = ["gcc", "-g", *compiler.prefixes, "-c", "-o", "a.o", str(source)]
    subprocess.run(words, cwd=top, check=True)
    return (top / "a.o").read_bytes()
