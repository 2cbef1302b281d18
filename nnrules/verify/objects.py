"""The identity of object files: what ties the measured firmware to the verified one."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digests(objects: Iterable[str]) -> dict[str, str]:
    """SHA-256 by file name."""
    return {Path(name).name: hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in objects}
