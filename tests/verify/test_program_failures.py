"""Programs that crash, hang, stop early or report an error end in one clear line each."""

import sys
from pathlib import Path

import pytest

from nnrules.error import UserError
from nnrules.verify.program import Program


def program(folder: Path, script: str, timeout: float = 20.0) -> Program:
    """A Python script in the place of an ELF file."""
    elf = folder / "m.trace.elf"
    elf.write_text(script)
    return Program("c-target", elf, (sys.executable, "{elf}"), timeout)


def test_works_in_a_directory_of_its_own(tmp_path: Path) -> None:
    script = "data = open('inputs.bin', 'rb').read(); open('outputs.bin', 'wb').write(data[::-1]); print('nn:run 7')"
    finished = program(tmp_path, script).run({"inputs.bin": b"\x01\x02"}, ["outputs.bin"])
    assert finished.console == "nn:run 7\n"
    assert finished.files == {"outputs.bin": b"\x02\x01"}
    assert [path.name for path in tmp_path.iterdir()] == ["m.trace.elf"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("print('almost'); raise SystemExit(3)", "c-target: m.trace.elf ended with status 3: almost"),
        ("import os; os.abort()", "c-target: m.trace.elf was killed by SIGABRT: no output"),
        (
            "import sys; sys.exit('m.c:7:3: runtime error: index 9 out of bounds\\nSUMMARY: undefined')",
            "c-target: m.trace.elf ended with status 1: m.c:7:3: runtime error: index 9 out of bounds",
        ),
        ("pass", "c-target: m.trace.elf ended without writing trace.bin: no output"),
    ],
)
def test_failure_is_one_line(script: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as caught:
        program(tmp_path, script).run({}, ["trace.bin"])
    assert str(caught.value) == message + "; the lines above tell more"
    assert message.rpartition(": ")[2] in capsys.readouterr().err


def test_hanging_program_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        program(tmp_path, "import time; time.sleep(60)", 0.5).run({})
    assert str(caught.value) == "c-target: m.trace.elf did not end within 0.5 s; it hangs, or needs a longer 'timeout'"


def test_missing_emulator_is_named(tmp_path: Path) -> None:
    missing = Program("c-target", tmp_path / "m.elf", ("qemu-system-none", "-kernel", "{elf}"))
    with pytest.raises(UserError) as caught:
        missing.run({})
    assert str(caught.value) == "c-target: cannot start 'qemu-system-none'; install it, or put it on PATH"
