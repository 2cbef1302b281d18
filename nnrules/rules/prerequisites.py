"""The tools outside Python that a target needs, looked for before anything slow runs."""

import shutil

from nnrules.catalog.toolchain import Toolchain
from nnrules.error import UserError


def require_tools(target: str, toolchain: Toolchain) -> None:
    """Raises UserError naming the Debian package of a compiler or emulator that is not on PATH."""
    _require(target, "compiler", toolchain.compiler.command, toolchain.compiler.package)
    if toolchain.runner is not None and toolchain.runner.package is not None:
        _require(target, "emulator", toolchain.runner.command[0], toolchain.runner.package)


def _require(target: str, role: str, command: str, package: str) -> None:
    if shutil.which(command) is None:
        raise UserError(f"target={target}", f"the {role} {command} is not installed", f"apt-get install {package}")
