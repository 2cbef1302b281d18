"""Where the folders that ship beside the Python code are: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

_NO_DATA = ("__pycache__", ".git")
PACKAGE = Path(__file__).resolve().parent.parent


def _shipped(name: str) -> Path:
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


def files_in(folder: Path) -> list[Path]:
    """All files below a folder of data, sorted; links to folders are followed, but not to one that they are in, and
    Python's and git's own folders are left out."""
    found = list[Path]()
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(folder, (folder.resolve(),))]
    while waiting:
        here, above = waiting.pop()
        for each in here.iterdir():
            if each.is_file():
                found.append(each)
            elif each.is_dir() and each.name not in _NO_DATA and each.resolve() not in above:
                waiting.append((each, (*above, each.resolve())))
    return sorted(found)


KERNELS = _shipped("kernels")
TOOLCHAINS = _shipped("toolchains")
