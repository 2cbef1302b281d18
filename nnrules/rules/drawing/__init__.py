"""Draws a build graph from plain data: as .dot for other tools, as .svg, and as a page to look around in (.html)."""

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from nnrules.error import UserError
from nnrules.rules.drawing.node import Node

__all__ = ["Node", "checked", "draw"]

_FORMATS = {".dot": "dot", ".svg": "svg", ".html": "page"}  # the modules; a build that draws nothing imports none


def checked(path: Path) -> Path:
    """The path itself. Raises UserError where its suffix names no kind of drawing."""
    if path.suffix.lower() not in _FORMATS:
        fault = f"cannot be drawn as {path.suffix!r}" if path.suffix else "does not say how to draw"
        raise UserError(f"--graph={path}", fault, "end the name in .svg, .html or .dot")
    return path


def draw(path: Path, nodes: Sequence[Node]) -> None:
    """Write the drawing that the path's suffix says. The same nodes give the same bytes.

    `inputs` that no node has are left out. Raises UserError for another suffix, and where nothing can be written.
    """
    module = _FORMATS[checked(path).suffix.lower()]
    text = import_module(f"nnrules.rules.drawing.{module}").text(nodes)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as fault:
        cause = f"cannot be written ({fault.strerror})"
        raise UserError(f"--graph={path}", cause, "choose another file") from None
    finally:
        partial.unlink(missing_ok=True)
