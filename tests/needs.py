"""What tests need from the machine: a named skip where it is missing, a failure in CI."""

import importlib.util
import os
import shutil

import pytest

from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import Toolchain, load_toolchain


def need_command(command: str, package: str | None, path: str | None = None) -> None:
    """Skip (in CI: fail), naming the package, where a command is missing; ``path``: other folders than those of
    PATH."""
    if command != "{elf}" and shutil.which(command, path=path) is None:
        report = pytest.fail if os.environ.get("CI") else pytest.skip
        report(f"{command} is missing; apt-get install {package}")


def need_target(target: str) -> Toolchain:
    """A target that can be compiled here and, if it has a runner, run."""
    chain = load_toolchain(TOOLCHAINS / f"{target}.toml")
    need_command(chain.compiler.command, chain.compiler.package)
    if chain.runner is not None:
        need_command(chain.runner.command[0], chain.runner.package)
    return chain


def need_module(module: str, package: str) -> None:
    """Skip (in CI: fail), naming the package, where a Python module is missing."""
    if importlib.util.find_spec(module) is None:
        report = pytest.fail if os.environ.get("CI") else pytest.skip
        report(f"{module} is missing; pip install {package}")
