"""Disks that are too small or cannot be written."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(top: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of a few kilobytes at `top`; a named skip where nothing may be mounted (CI runs as root)."""
    top.mkdir()
    options = ["-o", f"size={kilobytes}k", "none", str(top)]
    if subprocess.run(["mount", "-t", "tmpfs", *options], check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield top
    finally:
        subprocess.run(["umount", "-l", str(top)], check=True)


@contextmanager
def read_only_disk(top: Path) -> Iterator[Path]:
    """`top` as it is, mounted so that nobody can write, root included."""
    bound = subprocess.run(["mount", "--bind", str(top), str(top)], check=False, capture_output=True)
    if bound.returncode:
        pytest.skip("mounting needs root")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(top)], check=True, capture_output=True)
        yield top
    finally:
        subprocess.run(["umount", "-l", str(top)], check=True)
