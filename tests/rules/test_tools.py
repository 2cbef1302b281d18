"""What is known of the programs outside Python."""

import os
from pathlib import Path

import pytest

from nnrules.catalog.tools import Tools
from tests.needs import need_command

PROGRAM = """#!/bin/sh
case "$1" in
--version) echo "gcc (Debian 12.2.0) 12.2.0"; echo "of the Foundation";;
-dumpmachine) echo {machine};;
*) echo "{linker}";;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """First on PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def program(folder: Path, name: str, machine: str, linker: str = "") -> None:
    """A compiler that was there before the build."""
    path = folder / name
    path.write_text(PROGRAM.format(machine=machine, linker=linker))
    path.chmod(0o755)
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_the_machine_of_a_compiler_counts(folder: Path) -> None:
    program(folder, "gcc", "aarch64-linux-gnu")
    there = Tools().compiler("gcc")
    assert there == {"gcc": "gcc (Debian 12.2.0) 12.2.0 for aarch64-linux-gnu"}
    program(folder, "gcc", "x86_64-linux-gnu")
    assert Tools().compiler("gcc") != there


def test_what_is_no_compiler_has_no_machine(folder: Path) -> None:
    program(folder, "emulator", "x86_64-linux-gnu")
    assert Tools().version("emulator") == "gcc (Debian 12.2.0) 12.2.0"


def test_what_is_remembered_is_the_same(folder: Path) -> None:
    need_command("gcc", "gcc")
    program(folder, "my-cc", "x86_64-linux-gnu", "gcc")
    memory = folder / "tools.json"
    tools = Tools(memory)
    asked = tools.compiler("my-cc")
    assert asked.keys() == {"my-cc", "gcc"}
    tools.save()
    assert Tools(memory).compiler("my-cc") == asked
