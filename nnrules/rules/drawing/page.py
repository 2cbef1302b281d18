"""The picture in a page that can be searched, moved and zoomed, in one file and without a network."""

from collections.abc import Sequence
from pathlib import Path

from nnrules.rules.drawing.node import Node
from nnrules.rules.drawing.svg import element

_TEMPLATE = Path(__file__).with_name("page.html")


def text(nodes: Sequence[Node]) -> str:
    """An HTML file."""
    before, after = _TEMPLATE.read_text(encoding="utf-8").split("<!-- drawing -->")
    return before + element(nodes) + after
