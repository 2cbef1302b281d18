"""Limits on what a model's firmware may use."""

import msgspec

from nnrules.catalog.checked import parse_size
from nnrules.catalog.stages import GateOptions
from nnrules.error import UserError, suggest
from nnrules.rules.failure import caller, explained


@explained
def Budget(**limits: str | int) -> GateOptions:  # noqa: N802 - reads as a record in a SConscript
    """`Budget(ram="48 KB", flash="96 KB", instructions=20_000_000)`: each may be left out."""
    place = caller()
    known = [field.name for field in msgspec.structs.fields(GateOptions)]
    for name in limits:
        if name not in known:
            raise UserError(place, f"Budget has no limit {name!r}", suggest(name, known))
    return GateOptions(**{name: parse_size(place, size) for name, size in limits.items()})
