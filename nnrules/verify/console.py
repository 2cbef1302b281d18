"""What programs say about themselves on their console: lines that begin with "nn:"."""

import re


def number(text: str, key: str) -> int | None:
    """The number of the last line "nn:<key> <number>", or None where there is none."""
    found = re.findall(rf"^nn:{re.escape(key)} (\d+)$", text, re.MULTILINE)
    return int(found[-1]) if found else None


def layer_ticks(text: str) -> dict[int, int]:
    """Ticks by node index, from the lines "nn:layer <index> <ticks>"; of several for one index the last."""
    lines = re.findall(r"^nn:layer (\d+) (\d+)$", text, re.MULTILINE)
    return {int(index): int(ticks) for index, ticks in lines}


def without(text: str, key: str) -> str:
    """The text less its lines "nn:<key> ...", for figures that differ from run to run."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(f"nn:{key} "))
