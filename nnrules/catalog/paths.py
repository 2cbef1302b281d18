"""Where the folders that ship beside the Python code are: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def _shipped(name: str) -> Path:
    inside = _PACKAGE / name
    return inside if inside.is_dir() else _PACKAGE.parent / name


KERNELS = _shipped("kernels")
TOOLCHAINS = _shipped("toolchains")
