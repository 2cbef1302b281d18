"""`nnrules build`: the verified C of one model in a folder, for builds that are not SCons."""

import os
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
    figures, out = found.nodes["figures"], Path(arguments["out"])
    nodes = [figures, *(node for node in found.nodes.values() if node is not figures)]  # they say whose folder it is
    _require_ours(arguments["out"], out, [node.name for node in nodes], figures.name)
    copies = env.Command([str((out / node.name).absolute()) for node in nodes], nodes, env.Action(_copy, None))
    env.AlwaysBuild(copies)
    env.Precious(copies)
    env.Default(copies)


def _copy(target: list[Any], source: list[Any], env: Any) -> None:
    for copy, node in zip(target, source, strict=True):
        final = Path(copy.get_abspath())
        shutil.copyfile(node.get_abspath(), _partial(final))
        os.replace(_partial(final), final)


def _partial(final: Path) -> Path:
    return final.with_name(f".{final.name}.partial")


def _require_ours(text: str, out: Path, names: list[str], figures: str) -> None:
    """Raises UserError unless the folder is new, empty, or what an earlier `nnrules build` of this model left."""
    place, cure = f"--out {text}", "name a new or an empty folder"
    if out.exists() and not out.is_dir():
        raise UserError(place, "is not a folder", cure)
    ours = {_partial(out / name).name for name in names}
    there = sorted({path.name for path in out.iterdir()} - ours) if out.is_dir() else []
    strange = [name for name in there if name not in names]
    if strange or (there and not _is_record(out / figures)):
        raise UserError(place, f"the folder holds {(strange or there)[0]}, which nnrules did not put there", cure)


def _is_record(path: Path) -> bool:
    with suppress(OSError, msgspec.DecodeError):
        record = msgspec.json.decode(path.read_bytes())
        return isinstance(record, dict) and record.get("model") == path.stem and "verify" in record
    return False
