"""Values as C text: identifiers, arrays, numbers."""

import re
import textwrap
from collections.abc import Sequence
from itertools import chain, count

import numpy as np

WIDTH = 116
C_TYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
}


def identifier(name: str) -> str:
    """A C identifier like ``name``: every run of other characters becomes one underscore.

    >>> identifier("/stem/conv.0")
    'stem_conv_0'
    """
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "x"
    return cleaned if cleaned[0].isalpha() else f"n{cleaned}"


def unique_identifiers(names: list[str]) -> list[str]:
    """One C identifier for each name; a name that would repeat an earlier one gets a number that is free.

    >>> unique_identifiers(["x/y", "x_y", "x_y_1"])
    ['x_y', 'x_y_1', 'x_y_1_1']
    """
    found: dict[str, None] = {}
    for plain in map(identifier, names):
        numbered = (f"{plain}_{number}" for number in count(1))
        found[next(name for name in chain([plain], numbered) if name not in found)] = None
    return list(found)


def array(name: str, values: np.ndarray, prefix: str) -> str:
    """``<prefix> <type> <name>[n] = {...};`` with the values in C order, lines filled; words (uint32) in hex.

    >>> print(array("a", np.array([1, -2], np.int8), "static const"), end="")
    static const int8_t a[2] = {
        1, -2,
    };
    """
    lines, line = [], "   "
    packed = values.dtype == np.uint32
    for value in values.reshape(-1).tolist():
        text = f"0x{value:08x}" if packed else "INT32_MIN" if value == -(2**31) else str(value)
        if len(line) + len(text) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {text},"
    body = "\n".join([*lines, line])
    return f"{prefix} {C_TYPES[values.dtype.name]} {name}[{values.size}] = {{\n{body}\n}};\n"


def call(function: str, arguments: list[str], indent: int = 4) -> str:
    """A call statement, its arguments on as many lines as they need.

    >>> call("f", ["a", "b"])
    'f(a, b);'
    """
    space = " " * (indent + len(function) + 1)
    return f"{function}({filled(arguments, space)});"


def filled(parts: Sequence[str], space: str) -> str:
    """Parts with commas between them on lines as full as they get, ``space`` before each line but the first.

    >>> filled(["a + 1", "b"], "")
    'a + 1, b'
    """
    whole = ", ".join(part.replace(" ", "\0") for part in parts)
    lines = textwrap.wrap(whole, WIDTH + 1 - len(space), break_long_words=False, break_on_hyphens=False)
    return ("\n" + space).join(lines).replace("\0", " ")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text as aligned lines, without trailing blanks.

    >>> columns([("a", "bc"), ("def", "g")])
    ['a    bc', 'def  g']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def real(value: float) -> str:
    """A float32 value as the shortest C literal that reads back as exactly it.

    >>> real(0.003921568859368563)
    '0.003921569f'
    """
    text = np.format_float_scientific(np.float32(value), unique=True, trim="0")
    plain = np.format_float_positional(np.float32(value), unique=True, trim="0")
    return (plain if len(plain) <= 16 else text) + "f"


def comment_text(text: str) -> str:
    """Text that cannot end a C comment or leave its line."""
    return re.sub(r"[^\x20-\x7e]", "?", text).replace("*/", "* /").replace("/*", "/ *")
