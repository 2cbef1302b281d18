"""`nnrules build`: the verified C of one model in a folder, for builds that are not SCons."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import SCons.SConsign
from SCons.Script.SConscript import SConsEnvironment

from nnrules.error import UserError
from nnrules.rules.failure import explained
from nnrules.rules.foreign.methods import library
from nnrules.rules.foreign.workshop import workshop


@explained
def build(arguments: Mapping[str, str]) -> None:
    """Declare all that `model`, `target` or `isa`, and `out` ask for, and make it the default."""
    where, isa = arguments["model"], arguments.get("isa")
    env = SConsEnvironment(tools=[])
    SCons.SConsign.File(str(workshop().arguments().build.absolute() / ".sconsign"))
    found = library(env, "nnrules build", where, arguments.get("target"), isa.split(",") if isa else None)
    nodes, out = list(found.nodes.values()), Path(arguments["out"])
    _require_ours(arguments["out"], out, [node.name for node in nodes], found.nodes["figures"].name)
    copies = env.Command([str((out / node.name).absolute()) for node in nodes], nodes, env.Action(_copy, None))
    env.AlwaysBuild(copies)
    env.Default(copies)


def _copy(target: list[Any], source: list[Any], env: Any) -> None:
    for copy, node in zip(target, source, strict=True):
        shutil.copyfile(node.get_abspath(), copy.get_abspath())


def _require_ours(text: str, out: Path, names: list[str], figures: str) -> None:
    """Raises UserError unless the folder is new, empty, or what an earlier `nnrules build` of this model left."""
    place, cure = f"--out {text}", "name a new or an empty folder"
    if out.exists() and not out.is_dir():
        raise UserError(place, "is not a folder", cure)
    there = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    strange = [name for name in there if name not in names]
    if strange or (there and not _is_record(out / figures)):
        raise UserError(place, f"the folder holds {(strange or there)[0]}, which nnrules did not put there", cure)


def _is_record(path: Path) -> bool:
    with suppress(OSError, msgspec.DecodeError):
        record = msgspec.json.decode(path.read_bytes())
        return isinstance(record, dict) and record.get("model") == path.stem and "verify" in record
    return False
