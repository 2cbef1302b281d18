"""RAM and flash of a small program for the Cortex-M7 and for this machine, counted to the byte."""

import subprocess
from pathlib import Path

import pytest

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.error import UserError
from nnrules.verify import memory
from tests.needs import need_target

SOURCE = """
#include "nn_board.h"
__attribute__((section(".rodata.nn_weights"))) static const signed char weights[100] = {1, 2, 3};
static const int table[8] = {1, 2};
static volatile int started = 5;
static volatile int calls[3];
__attribute__((aligned(8))) static volatile signed char arena[256];
int nn_main(void) {
    calls[started % 3] += table[calls[0]];
    arena[calls[1]] = weights[calls[2]];
    return started;
}
"""


def build(target: str, folder: Path) -> tuple[Path, Path]:
    """Compile and link SOURCE with the target's board; gives the program and the object."""
    toolchain = need_target(target)
    (folder / "m.c").write_text(SOURCE)
    board = [str(TOOLCHAINS / name) for name in toolchain.firmware.sources]
    flags = [*toolchain.compiler.cflags, f"-I{TOOLCHAINS / 'board'}"]
    subprocess.run([toolchain.compiler.command, *flags, "-c", "m.c", "-o", "m.o"], cwd=folder, check=True)
    script = toolchain.firmware.linker_script
    link = [*flags, *toolchain.linkflags, *(["-T", str(TOOLCHAINS / script)] if script else [])]
    subprocess.run([toolchain.compiler.command, "m.o", *board, *link, "-o", "m.elf"], cwd=folder, check=True)
    return folder / "m.elf", folder / "m.o"


def sections(elf: Path) -> dict[str, int]:
    """Section sizes, as binutils counts them."""
    text = subprocess.run(["readelf", "-SW", elf], check=True, capture_output=True, text=True).stdout
    rows = [line.partition("]")[2].split() for line in text.splitlines() if line.startswith("  [")]
    return {row[0]: int(row[4], 16) for row in rows if len(row) > 6 and row[0].startswith(".")}


@pytest.mark.parametrize("target", ["cortex-m7", "riscv32"])
def test_firmware_is_counted_by_section(target: str, tmp_path: Path) -> None:
    elf, model = build(target, tmp_path)
    sizes = sections(elf)
    counted = memory.read(elf, [model], 256)
    assert counted.weights == sizes[".weights"] == 100
    assert counted.arena == 256
    assert counted.code == sizes[".text"]
    assert counted.data == sizes[".data"] == 4
    assert counted.bss == sizes[".bss"] - 256
    assert counted.flash()["total"] == sizes[".text"] + 100 + sizes[".rodata"] + 4
    assert counted.ram(520) == {
        "arena": 256,
        "stack": 520,
        "data": 4,
        "bss": counted.bss,
        "total": 780 + counted.bss,
        "stack_is": "peak",
    }


@pytest.mark.parametrize("target", ["cortex-m7", "riscv32", "cortex-m7-stm32h743"])
def test_firmware_that_was_not_run_counts_its_reserved_stack(target: str, tmp_path: Path) -> None:
    elf, model = build(target, tmp_path)
    counted = memory.read(elf, [model], 256)
    assert counted.ram(None) == counted.ram(16 * 1024) | {"stack_is": "reserved"}
    assert counted.ram(None)["total"] == 16 * 1024 + 256 + counted.data + counted.bss


def test_program_of_this_machine_has_no_stack_figure(tmp_path: Path) -> None:
    elf, model = build("x86-64", tmp_path)
    counted = memory.read(elf, [model], 256)
    assert (counted.weights, counted.arena) == (100, 256)
    assert (counted.ram(None)["stack"], counted.ram(None)["stack_is"]) == (None, None)
    assert counted.ram(None)["total"] == 256 + counted.data + counted.bss


def test_missing_arena_is_an_error(tmp_path: Path) -> None:
    elf, model = build("x86-64", tmp_path)
    with pytest.raises(UserError) as caught:
        memory.read(elf, [model], 1_257)
    assert str(caught.value) == (
        "m.elf: no arena of 1,257 bytes among its variables; keep the arena in a static array with 'arena' in its name"
    )
