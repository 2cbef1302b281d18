"""The loops in assembly for RV32, in places where a compiler is tempted to save registers."""

import subprocess
from pathlib import Path

import pytest

from nnrules.catalog.paths import KERNELS
from tests.kernels.test_boards import link, run
from tests.needs import need_target

PROGRAM = Path(__file__).with_name("equal_operands.c")


def test_operands_that_begin_equal_have_registers_of_their_own(tmp_path: Path) -> None:
    """As those of an output that ends where the working memory begins: with one register for both, the loop runs on
    until the processor stops it, or for ever."""
    need_target("riscv32")
    elf = link(tmp_path, "riscv32", f"-I{KERNELS / 'include'}", program=PROGRAM)
    try:
        done = run(tmp_path, "riscv32", elf)
    except subprocess.TimeoutExpired:
        pytest.fail("a loop of nn_riscv.h never ends: one of its operands shares a register with another one")
    assert done.returncode == 0, f"{PROGRAM.name} ends with {done.returncode}, of a wrong function or a trap (70)"
