"""The table at the end of a build: one line for each model and target, from what `measure` wrote.

Plain text made with the standard library alone, because the rules print it and they import nothing heavier.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from nnrules.catalog.quality import shortfalls

HEADINGS = (
    "model", "target", "metric", "float", "integer", "differing", "instructions", "per MAC", "RAM", "flash",
)  # fmt: skip
LEFT_ALIGNED = 3
FOOTNOTE = "+ and the stack, which is not known\n"
LARGEST = 3  # pieces of memory that are named
KINDS = {
    "whole": "for all of",
    "ring": "for rows kept of",
    "fresh": "for rows of",
    "sums": "for sums of",
    "scratch": "for the work of",
    "state": "for",
}


def render(measured: Sequence[Mapping[str, Any]], limits: Sequence[Mapping[str, float | None] | None] = ()) -> str:
    """Lay out `*.measured.json` records as aligned text that ends in a line feed.

    A model without a metric has its note ("seeded weights") in that place.

    limits: beside each record its budget (the keys of GateOptions; None where there is no limit). A size or count
    with a limit reads "used/limit"; what breaks a limit ends in "!". A figure that was not taken reads "-"; RAM
    ends in "+" where the stack is not known and so not in it. Sizes are bytes; "differing" counts values in which
    engines differ.
    """
    padded = [*limits, *([None] * (len(measured) - len(limits)))]
    lines = [HEADINGS, *(_cells(record, limit or {}) for record, limit in zip(measured, padded, strict=True))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    text = "".join(_aligned(line, widths) for line in lines)
    return text + (FOOTNOTE if any(record["ram"]["stack"] is None for record in measured) else "")


def render_ram(measured: Sequence[Mapping[str, Any]]) -> str:
    """A line for each record that knows its peak: what the RAM is made of, the layer that needs most of it, what takes
    it there, and how many instructions 1 KB more would save."""
    return "".join(_ram(record) for record in measured if record.get("peak"))


def _ram(record: Mapping[str, Any]) -> str:
    ram, peak = record["ram"], record["peak"]
    parts = [f"{ram[part]:,} {part}" for part in ("arena", "stack", "data", "bss") if ram[part]]
    owners = render_owners((buffer["name"], buffer["kind"], buffer["bytes"]) for buffer in peak["buffers"])
    where = f"most at layer {peak['layer']}" + (f": {owners}" if owners else "")
    saved = -(peak["kilobyte_more"] or 0)
    more = f"; 1 KB more would save {saved:,} instructions" if saved > 0 else ""
    return f"RAM of {record['model']} on {record['target']}: {' + '.join(parts)}; {where}{more}\n"


def render_owners(owners: Iterable[tuple[str, str, int]]) -> str:
    """The first of what is in use at the peak: tensors or layers, kinds of memory (nnrules.plan.record.Slot), bytes.

    >>> render_owners([("conv", "scratch", 1736), ("relu", "ring", 768)])
    '1,736 for the work of conv, 768 for rows kept of relu'
    """
    return ", ".join(f"{size:,} {KINDS[kind]} {name}" for name, kind, size in islice(owners, LARGEST))


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(width) if column < LEFT_ALIGNED else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(padded).rstrip() + "\n"


def _cells(record: Mapping[str, Any], limit: Mapping[str, float | None]) -> tuple[str, ...]:
    metric = record["metric"] or {"name": record.get("note") or "-", "float": None, "integer": None}
    instructions, macs = record["instructions"], record["macs"]
    return (
        record["model"],
        record["target"],
        metric["name"],
        _score(metric["float"]),
        _score(metric["integer"]) + ("!" if record["metric"] and shortfalls(metric, limit) else ""),
        f"{record['verify']['differing']:,}",
        _against(instructions, limit.get("instructions")),
        f"{instructions / macs:.2f}" if instructions is not None and macs else "-",
        _against(record["ram"]["total"], limit.get("ram"), "+" if record["ram"]["stack"] is None else ""),
        _against(record["flash"]["total"], limit.get("flash")),
    )


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _against(used: int | None, limit: float | None, mark: str = "") -> str:
    if used is None:
        return "-"
    if limit is None:
        return f"{used:,}{mark}"
    return f"{used:,}{mark}/{limit:,}{'!' if used > limit else ''}"
