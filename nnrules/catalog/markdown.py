"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def markdown(heading: Sequence[str], lines: Iterable[Sequence[str]], left: Sequence[int]) -> str:
    """The table, its columns aligned in plain text too, those in `left` to the left; empty without lines."""
    rows = [heading, *lines]
    if len(rows) == 1:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(heading))]
    rule = [f":{'-' * (w - 1)}" if c in left else f"{'-' * (w - 1)}:" for c, w in enumerate(widths)]
    padded = [
        [cell.ljust(width) if column in left else cell.rjust(width) for column, (cell, width) in enumerate(pairs)]
        for pairs in (list(zip(row, widths, strict=True)) for row in (heading, rule, *rows[1:]))
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)
