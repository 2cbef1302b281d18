"""Limits on what a model's firmware may use, and on how well it must do."""

from typing import Any

import msgspec

from nnrules.catalog import quality
from nnrules.catalog.checked import parse_size
from nnrules.catalog.stages import GateOptions
from nnrules.error import UserError, suggest
from nnrules.rules.failure import caller, explained


@explained
def Budget(**limits: Any) -> GateOptions:  # noqa: N802 - reads as a record in a SConscript
    """`Budget(ram="48 KB", flash="96 KB", instructions=20_000_000, metric_at_least=0.65, metric_drop=0.02)`.

    Each may be left out. The metric is the dataset's, more is better; see GateOptions.
    """
    place = caller()
    known = [field.name for field in msgspec.structs.fields(GateOptions)]
    for name in limits:
        if name not in known:
            raise UserError(place, f"Budget has no limit {name!r}", suggest(name, known))
    sizes = {name: parse_size(place, size) for name, size in limits.items() if name not in quality.LIMITS}
    return GateOptions(**{**limits, **sizes})
