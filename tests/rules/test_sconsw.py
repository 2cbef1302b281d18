"""The wrapper's decisions, with pip, apt-get and the network replaced."""

import importlib.machinery
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nnrules.catalog.toolchain import load_toolchain, target_names, toolchain_path

TOP = Path(__file__).resolve().parents[2]
TORCH = "torch==2.13.0"


@pytest.fixture
def sconsw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script as a module, with a `.venv` of its own, on Linux, that starts no process."""
    loader = importlib.machinery.SourceFileLoader("sconsw", str(TOP / "sconsw"))
    spec = importlib.util.spec_from_loader("sconsw", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.setattr(module, "VENV", tmp_path)
    monkeypatch.setattr(module, "STAMP", tmp_path / "nnrules.stamp")
    monkeypatch.setattr(module.platform, "system", lambda: "Linux")
    monkeypatch.setattr(module.subprocess, "run", lambda command, **_: pytest.fail(f"started {command}"))
    monkeypatch.setattr(module, "become", lambda command: (_ for _ in ()).throw(SystemExit(" ".join(command))))
    monkeypatch.delenv("NNRULES_TORCH", raising=False)
    return module


def started(sconsw: ModuleType, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        sconsw.main(list(arguments))
    return str(end.value)


def test_the_second_time_it_becomes_scons_at_once(sconsw: ModuleType) -> None:
    sconsw.STAMP.write_text(sconsw.stamp())
    assert started(sconsw, "target=cortex-m7", "model=facedet") == "scons target=cortex-m7 model=facedet"


def test_the_tests_come_after_the_lints(sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lints: list[Any] = []
    monkeypatch.setattr(sconsw, "run", lints.append)
    tools: list[dict[str, list[str]]] = []
    monkeypatch.setattr(sconsw, "install_tools", tools.append)
    sconsw.STAMP.write_text(sconsw.stamp())
    assert started(sconsw, "test", "-x") == "pytest -q -n 3 --dist loadscope -x"
    assert [lint[0] for lint in lints] == ["ruff", "ruff", "mypy", "lint-imports"]
    assert started(sconsw, "soak") == "pytest -q -m soak"
    assert tools == [sconsw.TESTS] * 2


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["model=kws"], True),
        (["target=cortex-m7", "model=facedet,kws"], True),
        (["model=all"], True),
        (["model=facedet"], False),
        (["bench"], False),
        (["kws.train.epochs=2"], False),
    ],
)
def test_speech_is_installed_where_keyword_spotting_is_built(
    sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch, words: list[str], wanted: bool
) -> None:
    tools: list[dict[str, list[str]]] = []
    monkeypatch.setattr(sconsw, "install_tools", tools.append)
    sconsw.STAMP.write_text(sconsw.stamp())
    assert started(sconsw, *words) == f"scons {' '.join(words)}"
    assert tools == ([{"espeak-ng": ["espeak-ng"]}] if wanted else [])


def test_it_sets_up_again_after_a_change_of_the_choice_of_torch(
    sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(sconsw, "install_tools", lambda tools: done.append("tools"))
    monkeypatch.setattr(sconsw, "install_packages", lambda: done.append("packages"))
    started(sconsw)
    started(sconsw)
    assert done == ["tools", "packages"]
    monkeypatch.setenv("NNRULES_TORCH", "default")
    started(sconsw)
    assert done == ["tools", "packages"] * 2


def test_torch_comes_from_the_cpu_index(sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sconsw, "reachable", lambda url: url == "https://download.pytorch.org/whl/cpu/torch/")
    assert sconsw.torch_source(TORCH) == ["--no-deps", "--index-url", "https://download.pytorch.org/whl/cpu"]


def test_torch_without_cuda_may_come_from_elsewhere(sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sconsw, "reachable", lambda url: False)
    monkeypatch.setattr(sconsw, "would_install", lambda requirement: ["torch", "sympy"])
    assert sconsw.torch_source(TORCH) == []


def test_cuda_is_refused_unless_asked_for(
    sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sconsw, "reachable", lambda url: False)
    monkeypatch.setattr(sconsw, "would_install", lambda requirement: ["torch", "nvidia-cublas", "nvidia-cudnn-cu13"])
    with pytest.raises(SystemExit) as end:
        sconsw.torch_source(TORCH)
    assert end.value.code == 2
    assert capsys.readouterr().err == (
        "sconsw: https://download.pytorch.org/whl/cpu cannot be reached, and PyPI's torch==2.13.0 brings CUDA "
        "(2 packages); to take that one: NNRULES_TORCH=default ./sconsw\n"
    )
    monkeypatch.setenv("NNRULES_TORCH", "default")
    assert sconsw.torch_source(TORCH) == []
    monkeypatch.setenv("NNRULES_TORCH", "https://example.org/simple")
    assert sconsw.torch_source(TORCH) == ["--no-deps", "--index-url", "https://example.org/simple"]


def test_without_root_it_prints_the_one_command(
    sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    present = {
        "gcc",
        "g++",
        "aarch64-linux-gnu-gcc",
        "riscv64-unknown-elf-gcc",
        "qemu-system-riscv32",
        "apt-get",
    }
    monkeypatch.setattr(sconsw.shutil, "which", lambda command: command if command in present else None)
    monkeypatch.setattr(sconsw.os, "geteuid", lambda: 1000)
    sconsw.install_tools(sconsw.DEBIAN)
    packages = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm qemu-user"
    assert capsys.readouterr().out == (
        f"sconsw: missing: {packages}; install with: sudo apt-get install -y --no-install-recommends {packages}\n"
    )


def test_root_installs_the_packages(sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(sconsw.shutil, "which", lambda command: None if command == "qemu-system-arm" else command)
    monkeypatch.setattr(sconsw.os, "geteuid", lambda: 0)
    monkeypatch.setattr(sconsw.subprocess, "run", run)
    sconsw.install_tools(sconsw.DEBIAN)
    assert [" ".join(command) for command in commands] == [
        "apt-get update -qq",
        "apt-get install -y --no-install-recommends qemu-system-arm -qq",
    ]


def test_the_database_server_is_found_apart(
    sconsw: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sconsw.shutil, "which", lambda command: None)
    monkeypatch.setattr(sconsw, "APART", tmp_path)
    database = {"postgres": sconsw.TESTS["postgres"]}
    sconsw.install_tools(database)
    assert capsys.readouterr().out.startswith("sconsw: missing: postgresql; install with: ")
    (tmp_path / "15/bin").mkdir(parents=True)
    (tmp_path / "15/bin/postgres").touch()
    sconsw.install_tools(database)
    assert capsys.readouterr().out == ""


def test_every_tool_of_targets_and_tests_has_a_package(sconsw: ModuleType) -> None:
    toolchains = [load_toolchain(toolchain_path(name)) for name in target_names()]
    tools = {chain.compiler.command for chain in toolchains}
    tools |= {chain.runner.command[0] for chain in toolchains if chain.runner is not None} - {"{elf}"}
    for file in (TOP / "tests").rglob("*.py"):
        tools |= set(re.findall(r'need_command\("([^"]+)"', file.read_text()))
        tools |= set(re.findall(r'\["(g\+\+|\S*gcc)",', file.read_text()))
    assert "g++" in tools
    assert tools <= {*sconsw.DEBIAN, *sconsw.TESTS}


def test_in_ci_a_missing_tool_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(TOP / ".ci/run", tmp_path / ".ci/run")
    wrapper = tmp_path / "sconsw"
    wrapper.write_text('#!/bin/sh\necho "CI=$CI $*"\n')
    wrapper.chmod(0o755)
    done = subprocess.run([tmp_path / ".ci/run"], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == "CI=1 test\n"
