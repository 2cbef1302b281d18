"""Plain data (TOML, JSON) -> a frozen record, with errors that name the place, the fault and the cure."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nnrules.error import UserError, suggest

Record = TypeVar("Record", bound=msgspec.Struct)

_SIZE = re.compile(r"(\d+)\s*(B|KB|MB|GB)?")
_UNIT = {None: 1, "B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}


def parse_size(place: str, text: str | int, others: Sequence[str] = ()) -> int:
    """Bytes of `48 KB`, `4 MB` or a plain number; 1 KB is 1024 bytes. Raises UserError at `place`, which names the
    ``others`` that could have been said."""
    match = _SIZE.fullmatch(str(text).strip())
    if not match:
        cure = ", or say ".join(('write it like "48 KB", "4 MB" or 65536', *others))
        raise UserError(place, f"{text!r} is not a size", cure)
    return int(match[1]) * _UNIT[match[2]]


def read_toml(place: str, path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises UserError where it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(place, "there is no such file", "create it or correct the name") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise UserError(place, f"not TOML: {fault}", "correct the syntax") from None


def checked(place: str, kind: type[Record], data: Mapping[str, Any]) -> Record:
    """`data` as a `kind`, nested records included. Raises UserError: unknown key, missing key, or wrong type."""
    _refuse_unknown(place, "", kind, data)
    try:
        return msgspec.convert(data, kind, strict=True)
    except msgspec.ValidationError as fault:
        text, _, where = str(fault).partition(" - at `$.")
        raise UserError(place, f"{where.rstrip('`')}: {text}" if where else text, "correct the value") from None


def _refuse_unknown(place: str, table: str, kind: type[msgspec.Struct], data: Mapping[str, Any]) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in data.items():
        if key not in fields:
            owner = f"[{table}] has" if table else "there is"
            raise UserError(place, f"{owner} no key {key!r}", suggest(key, fields))
        nested = fields[key]
        if isinstance(nested, type) and issubclass(nested, msgspec.Struct) and isinstance(value, Mapping):
            _refuse_unknown(place, f"{table}.{key}" if table else key, nested, value)
