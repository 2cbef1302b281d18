"""What cppcheck says of generated C."""

import subprocess
from pathlib import Path

from nnrules.catalog.paths import KERNELS
from tests.needs import need_command

CHECKS = (
    "--enable=warning,performance,portability",
    "--inline-suppr",
    "--error-exitcode=1",
    "--quiet",
    "--max-configs=100",
    "--std=c11",
)


def require_clean(folder: Path, source: str) -> None:
    """Nothing."""
    need_command("cppcheck", "cppcheck")
    command = ["cppcheck", *CHECKS, f"-I{KERNELS / 'include'}", source]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
