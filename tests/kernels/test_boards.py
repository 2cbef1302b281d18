"""Every toolchain: its programs link; where they run, the board counts, paints, reads, writes and exits as it says."""

import re
import subprocess
from pathlib import Path

import pytest

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import target_names
from tests.kernels.programs import toolchain
from tests.needs import need_target

BOARD = Path(__file__).with_name("board.c")
RUN = [name for name in target_names() if toolchain(name).runner]


def link(folder: Path, target: str, *flags: str, program: Path = BOARD) -> Path:
    """Build a program of one file for a target."""
    chain = toolchain(target)
    elf, firmware = folder / "board.elf", chain.firmware
    sources = [str(program), *(str(TOOLCHAINS / name) for name in firmware.sources)]
    includes = [f"-I{TOOLCHAINS / name}" for name in firmware.include]
    script = ["-T", str(TOOLCHAINS / firmware.linker_script)] if firmware.linker_script else []
    compiled = [chain.compiler.command, *chain.compiler.cflags, *flags, *includes, *sources]
    subprocess.run([*compiled, *chain.linkflags, *script, "-o", str(elf)], check=True)
    return elf


def run(folder: Path, target: str, elf: Path) -> subprocess.CompletedProcess[str]:
    """Run it in a folder."""
    runner = toolchain(target).runner
    assert runner is not None
    command = [word.replace("{elf}", str(elf)) for word in runner.command]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("target", target_names())
def test_links(tmp_path: Path, target: str) -> None:
    """Also where there is nothing to run it on."""
    if toolchain(target).runner:
        need_target(target)
    assert link(tmp_path, target).is_file()


@pytest.mark.parametrize("target", RUN)
def test_board(tmp_path: Path, target: str) -> None:
    """Data, ticks on loops of known length, the painted stack, files and the exit code."""
    need_target(target)
    (tmp_path / "in.bin").write_bytes(b"0123456")
    (tmp_path / "out.bin").write_bytes(b"left from an earlier run")
    done = run(tmp_path, target, link(tmp_path, target))
    numbers = {name: int(value) for name, value in re.findall(r"^(\w+(?: \w+)?) (\d+)$", done.stdout, re.MULTILINE)}
    assert (done.returncode, numbers["data"], numbers["read"], numbers["missing"]) == (5, 7, 5, 0)
    assert (tmp_path / "out.bin").read_bytes() == b"234end"
    runner = toolchain(target).runner
    assert runner is not None
    ticks = [int(value) for value in re.findall(r"^ticks (\d+)$", done.stdout, re.MULTILINE)]
    if runner.instructions_per_tick:
        for n, counted in zip((1000, 100_000, 10_000_000), ticks, strict=True):
            assert abs(counted * runner.instructions_per_tick - 2 * n) <= max(runner.instructions_per_tick, 10)
        assert 0 < numbers["stack before"] < 512 < numbers["stack after"] - numbers["stack before"] + 100 < 2048
    else:
        assert ticks == [0, 0, 0]


@pytest.mark.parametrize("target", [name for name in RUN if toolchain(name).firmware.linker_script])
def test_a_fault_ends_the_program(tmp_path: Path, target: str) -> None:
    """A jump to nowhere says so and exits with 70, instead of hanging the emulator."""
    need_target(target)
    (tmp_path / "in.bin").write_bytes(b"0123456")
    done = run(tmp_path, target, link(tmp_path, target, "-DFAULT"))
    assert done.returncode == 70
    assert "nn: processor" in done.stdout
