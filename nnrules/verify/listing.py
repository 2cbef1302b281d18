"""The table of layers that verify prints when engines differ."""

from typing import Any

UNWRAPPED = 200  # columns in a log file, where nothing says how wide the reader's window is


def print_layers(record: dict[str, Any]) -> None:
    """Print each layer of a verify record: values, differing values per engine, SQNR."""
    from rich.console import Console
    from rich.table import Table

    engines = list(dict.fromkeys(engine for layer in record["layers"] for engine in layer["differing"]))
    table = Table("layer", "op", "shape", title=f"{record['differing']:,} differing values")
    for heading in ("values", *engines, "SQNR dB"):
        table.add_column(heading, justify="right")
    for layer in record["layers"]:
        counts = [_count(layer["differing"].get(engine)) for engine in engines]
        shape = "x".join(map(str, layer["shape"]))
        noise = "-" if layer["sqnr_db"] is None else f"{layer['sqnr_db']:.1f}"
        table.add_row(layer["name"], layer["op"], shape, f"{layer['values']:,}", *counts, noise)
    console = Console()
    if not console.is_terminal:
        console.width = UNWRAPPED
    console.print(table)


def _count(differing: int | None) -> str:
    if differing is None:
        return "-"
    return f"[bold red]{differing:,}[/]" if differing else "0"
