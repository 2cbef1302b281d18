"""Options of scons that only change what a build tells: `--explain`, `--graph`, `--stage-commands`, `--cache-log`."""

from contextlib import suppress
from optparse import OptionConflictError
from pathlib import Path
from typing import Any

import msgspec
from SCons.Script import AddOption, GetOption

from nnrules.error import UserError

_FLAGS = {
    "explain": "say for each step why it runs",
    "stage-commands": "print for each step the command that repeats it alone",
}
_FILES = {
    "graph": "draw the build into FILE (.svg, .html or .dot): what is current, cached, to be run",
    "cache-log": "write every step's key and what it is made of into FILE (JSON)",
}
DESCRIBED = {f"--{name}": text for name, text in _FLAGS.items()} | {
    f"--{name}=FILE": text for name, text in _FILES.items()
}


class Wishes(msgspec.Struct, frozen=True):
    """What was asked for. `graph`, `log`: files, None: not asked."""

    explain: bool = False
    commands: bool = False
    graph: Path | None = None
    log: Path | None = None


def wishes() -> Wishes:
    """Add the options and read them. One that the user's SConstruct has already is the user's. Raises UserError."""
    flags = {name: bool(_option(name, text, action="store_true", default=False)) for name, text in _FLAGS.items()}
    files = {name: _option(name, text, type="string", nargs=1, metavar="FILE") for name, text in _FILES.items()}
    paths = {name: Path(value) if isinstance(value, str) else None for name, value in files.items()}
    if paths["graph"]:
        from nnrules.rules.drawing import checked  # a build that draws nothing does not load it

        checked(paths["graph"])
    return Wishes(flags["explain"], flags["stage-commands"], paths["graph"], paths["cache-log"])


def require_writable(option: str, path: Path) -> None:
    """Raises UserError unless a file can be made there."""
    if not path.parent.is_dir() or path.is_dir():
        fault = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise UserError(f"{option}={path}", fault, "choose another file")


def _option(name: str, text: str, **how: Any) -> Any:
    dest = f"nnrules_{name.replace('-', '_')}"
    with suppress(OptionConflictError):
        AddOption(f"--{name}", dest=dest, help=text, **how)
    try:
        return GetOption(dest)
    except AttributeError:
        return None
