"""The graph as a picture: groups as frames, steps as boxes, files as ovals; states by colour, mark and frame."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

from nnrules.rules.drawing.frames import Frame, frames
from nnrules.rules.drawing.layout import Point, Size
from nnrules.rules.drawing.node import STATES, Node, State, printable
from nnrules.rules.drawing.shapes import Shape, shapes

_TITLE, _LINE = 13.0, 11.0  # heights of letters
_LEADING = 1.35
_INSET = 12.0
_LEGEND, _WORD = 46.0, 150.0  # the height of the legend, the width of a word in it

_STYLE = Path(__file__).with_name("style.css")

_MARKS: dict[State, str] = {  # in a square of 12 by 12
    "current": "M1.5 6.5 L4.5 9.5 L10.5 2.5",
    "cached": "M6 0.5 L11.5 6 L6 11.5 L0.5 6 Z",
    "run": "M2.5 1.5 L10.5 6 L2.5 10.5 Z",
    "ran": "M6 1.5 A4.5 4.5 0 1 1 5.99 1.5 Z",
    "failed": "M2 2 L10 10 M10 2 L2 10",
    "unknown": "M3 3.5 A3 3 0 1 1 6 6.5 L6 8 M6 11 L6 11.01",
}


def text(nodes: Sequence[Node]) -> str:
    """An SVG file, with its own style and nothing from elsewhere."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + element(nodes)


def element(nodes: Sequence[Node]) -> str:
    """The <svg> element."""
    known = shapes(nodes)
    placed = frames(known, [_size(shape) for shape in known])
    width = max(placed.width, len(STATES) * _WORD) + 2 * _INSET
    height = placed.height + _LEGEND + _INSET
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" '
        f'width="{_n(width)}" height="{_n(height)}" role="img">',
        f"<title>The build graph: {_counted(nodes)}</title>",
        f"<style>\n{_STYLE.read_text(encoding='utf-8')}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        *_legend(nodes),
        f'<g transform="translate({_n(_INSET)} {_n(_LEGEND)})">',
        *(line for frame in placed.frames for line in _frame(frame)),
        *_edges(known, placed.routes),
        *(line for n, shape in enumerate(known) for line in _shape(n, shape, placed.corners[n])),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _counted(nodes: Sequence[Node]) -> str:
    steps = sum(node.kind == "step" for node in nodes)
    return f"{steps} steps, {len(nodes) - steps} files"


def _legend(nodes: Sequence[Node]) -> list[str]:
    """Every state with its mark and how many steps are in it."""
    lines = ['<g class="legend">']
    for n, (state, word) in enumerate(STATES.items()):
        count = sum(node.state == state for node in nodes if node.kind == "step")
        lines += [
            f'<g class="{state}" transform="translate({_n(_INSET + n * _WORD)} 14)">{_mark(state)}',
            f'<text class="word" x="18" y="10">{word}: {count}</text></g>',
        ]
    return [*lines, "</g>"]


def _frame(frame: Frame) -> list[str]:
    corner = f'x="{_n(frame.x)}" y="{_n(frame.y)}"'
    name = escape(printable(frame.name))
    return [
        f'<rect class="frame" {corner} width="{_n(frame.width)}" height="{_n(frame.height)}" rx="10"/>',
        f'<text class="heading" x="{_n(frame.x + _INSET)}" y="{_n(frame.y + 22)}">{name}</text>',
    ]


def _edges(known: Sequence[Shape], routes: dict[tuple[int, int], list[Point]]) -> list[str]:
    """A curve for each edge, horizontal where it leaves, passes and enters; between groups vertical."""
    lines = list[str]()
    for (a, b), points in routes.items():
        far = known[b].far is known[a]
        bends = [_bend(p, q, far) for p, q in pairwise(points)]
        x, y = points[-1]
        start = f"M{_n(points[0][0])} {_n(points[0][1])}"
        lines.append(f'<path class="edge{" far" * far}" data-ends="{a} {b}" d="{" ".join([start, *bends])}"/>')
        if not far:
            lines.append(f'<path class="tip" d="M{_n(x)} {_n(y)} l-7 -3.5 v7 Z"/>')
    return lines


def _bend(p: Point, q: Point, far: bool) -> str:
    if p[1] == q[1] and not far:
        return f"L{_n(q[0])} {_n(q[1])}"
    across, down = (p[0] + q[0]) / 2, (p[1] + q[1]) / 2
    first, second = ((p[0], down), (q[0], down)) if far else ((across, p[1]), (across, q[1]))
    return "C" + " ".join(f"{_n(x)} {_n(y)}" for x, y in (first, second, q))


@dataclass(frozen=True)
class _Row:
    """A line of text in a shape."""

    kind: str
    words: str
    height: float


def _rows(shape: Shape) -> list[_Row]:
    title = _TITLE if shape.kind == "step" else _LINE
    return [_Row("title", shape.title, title), *(_Row("line", line, _LINE) for line in shape.lines)]


def _size(shape: Shape) -> Size:
    """The size that a shape's text needs; letters are taken to be wide, whatever font is there."""
    rows = _rows(shape)
    mark = 18.0 if shape.kind == "step" or shape.state != "current" else 0.0
    width = max(
        _letters(row.words) * row.height * (0.68 if row.kind == "title" else 0.6)
        + (mark if row.kind == "title" else 0.0)
        for row in rows
    )
    side = 10.0 if shape.kind == "step" else 14.0
    return max(84.0, round(width + 2 * side)), round(sum(row.height * _LEADING for row in rows) + 14)


def _letters(words: str) -> float:
    """The width of a text in usual letters; those of East Asia take nearly two."""
    return sum(1.75 if unicodedata.east_asian_width(each) in "WF" else 1.0 for each in words)


def _shape(number: int, shape: Shape, corner: Point) -> list[str]:
    """A group of body, mark and text; its <title> tells all, also to the page's search."""
    width, height = _size(shape)
    radius = 5.0 if shape.kind == "step" else min(height / 2, 15.0)
    side = 10.0 if shape.kind == "step" else 14.0
    marked = shape.kind == "step" or shape.state != "current"
    y, lines = 7.0, list[str]()
    for row in _rows(shape):
        x = side + (18.0 if marked and row.kind == "title" else 0.0)
        baseline = y + row.height
        lines.append(f'<text class="{row.kind}" x="{_n(x)}" y="{_n(baseline)}">{escape(row.words)}</text>')
        y += row.height * _LEADING
    group = escape(printable(shape.group))
    where = f'transform="translate({_n(corner[0])} {_n(corner[1])})"'
    mark = f'<g transform="translate({_n(side)} 8)">{_mark(shape.state)}</g>' if marked else ""
    return [
        f'<g class="node {shape.kind} {shape.state}" id="node{number}" data-group="{group}" {where}>',
        f"<title>{escape(shape.told)}</title>",
        f'<rect class="body" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"/>{mark}',
        *lines,
        "</g>",
    ]


def _mark(state: State) -> str:
    return f'<path class="mark" d="{_MARKS[state]}"/>'


def _n(value: float) -> str:
    """A number with at most one decimal: the same text everywhere."""
    return f"{round(value, 1):g}" if abs(value) < 1e5 else f"{value:.0f}"
