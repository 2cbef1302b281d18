"""Which model a folder of the build is about.

A file of the command line is built under the name of its stem. The project may have a model of that name, and so may
another file: then the same folder holds now the one, now the other. What is made anew has its own key, so that no stage
takes what the other made; what is not made anew, the other's results for other targets, must not stay beside it.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

MARK = ".given"
SHARED = ("{}.onnx", "{}.integer.onnx")


def claim(folder: Path, name: str, given: Path | None, targets: Iterable[str]) -> bool:
    """Take the folder of the model `name` for the file `given`, or (None) for the project's own model.

    Where it was another's, the results that people look for are removed: the two ONNX files and what is in the folders
    of `targets`, all that there are. Trained weights stay. Whether there was something to remove.
    """
    mark = folder / MARK
    owner = mark.read_text(encoding="utf-8", errors="surrogateescape") if mark.is_file() else ""
    claimed = str(given) if given else ""
    if owner == claimed:
        return False
    files = [path for pattern in SHARED if (path := folder / pattern.format(name)).is_file()]
    folders = [path for target in targets if (path := folder / target).is_dir() and not path.is_symlink()]
    for path in files:
        path.unlink()
    for path in folders:
        shutil.rmtree(path)
    mark.unlink(missing_ok=True)
    if given:
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(claimed, encoding="utf-8", errors="surrogateescape")
    return bool(files or folders)
