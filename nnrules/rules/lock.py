"""One build at a time in a build folder."""

import fcntl
from pathlib import Path
from typing import IO

from nnrules.error import UserError


def lock(folder: Path) -> IO[str]:
    """Take the folder's lock until the returned file is closed. Raises UserError where it is taken or cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / ".lock").open("w", encoding="utf-8")
    except OSError as fault:
        raise UserError(
            f"build_dir={folder}", f"cannot be written ({fault.strerror})", "choose another folder"
        ) from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        held.close()
        cure = "wait for it to end or choose another folder with build_dir="
        raise UserError(str(folder), "another build is running in this folder", cure) from None
    return held
