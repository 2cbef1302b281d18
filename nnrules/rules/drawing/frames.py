"""Where everything lies: each group laid out by itself in a frame, the frames of a model side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

from nnrules.rules.drawing.layout import Edge, Placement, Point, Size, layered, turned
from nnrules.rules.drawing.shapes import Shape

_INSET, _HEADING = 16.0, 34.0
_BETWEEN = 28.0  # between frames of different models
_ASPECT = 1.6  # of the whole picture


@dataclass(frozen=True)
class Frame:
    """The rectangle of a group."""

    name: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Picture:
    """`corners`: of the shapes; `routes`: of the edges between them, by their indices."""

    frames: list[Frame]
    corners: list[Point]
    routes: dict[Edge, list[Point]]
    width: float
    height: float


def frames(shapes: Sequence[Shape], sizes: Sequence[Size]) -> Picture:
    """Place shapes of these sizes."""
    index = {shape: n for n, shape in enumerate(shapes)}
    members = dict[str, list[int]]()
    for n, shape in enumerate(shapes):
        members.setdefault(shape.group, []).append(n)
    inside = {group: _inside(numbers, shapes, sizes, index) for group, numbers in members.items()}
    outer = {group: _outer(each) for group, each in inside.items()}
    links = {(shape.far.group, shape.group) for shape in shapes if shape.far is not None}
    places, width, height = _arranged(outer, links)
    corners: list[Point] = [(0.0, 0.0)] * len(shapes)
    routes = dict[Edge, list[Point]]()
    for group, numbers in members.items():
        x, y = places[group][0] + _INSET, places[group][1] + _HEADING
        for n, (left, top) in zip(numbers, inside[group].corners, strict=True):
            corners[n] = (x + left, y + top)
        for (a, b), points in inside[group].routes.items():
            routes[numbers[a], numbers[b]] = [(x + left, y + top) for left, top in points]
    for n, shape in enumerate(shapes):
        if shape.far is not None:
            maker = index[shape.far]
            routes[maker, n] = _between(corners[maker], sizes[maker], corners[n], sizes[n])
    found = [Frame(group, *places[group], *outer[group]) for group in members]
    return Picture(found, corners, routes, width, height)


def _inside(numbers: list[int], shapes: Sequence[Shape], sizes: Sequence[Size], index: dict[Shape, int]) -> Placement:
    """A group, from left to right: boxes are wider than high, and many lie side by side."""
    local = {n: k for k, n in enumerate(numbers)}
    edges = [(local[index[need]], local[n]) for n in numbers for need in shapes[n].needs]
    return turned(layered([(sizes[n][1], sizes[n][0]) for n in numbers], edges))


def _outer(inside: Placement) -> Size:
    return inside.width + 2 * _INSET, inside.height + _HEADING + _INSET


def _between(start: Point, start_size: Size, end: Point, end_size: Size) -> list[Point]:
    """From the bottom or top of one shape to the nearer one of another."""
    downwards = end[1] >= start[1]
    return [
        (start[0] + start_size[0] / 2, start[1] + (start_size[1] if downwards else 0.0)),
        (end[0] + end_size[0] / 2, end[1] + (0.0 if downwards else end_size[1])),
    ]


def _arranged(outer: dict[str, Size], links: set[tuple[str, str]]) -> tuple[dict[str, Point], float, float]:
    """Corners of the frames: those that are linked in a set, such sets in rows; and the size of all."""
    sets = [_stacked(each, outer, links) for each in _linked(list(outer), links)]
    area = sum((width + _BETWEEN) * (height + _BETWEEN) for _, width, height in sets)
    limit = max([(area * _ASPECT) ** 0.5, *(width for _, width, _ in sets)])
    places, x, y, row, widest = dict[str, Point](), 0.0, 0.0, 0.0, 0.0
    for corners, width, height in sets:
        if x and x + width > limit:
            x, y, row = 0.0, y + row + _BETWEEN, 0.0
        places |= {group: (x + left, y + top) for group, (left, top) in corners.items()}
        x, row = x + width + _BETWEEN, max(row, height)
        widest = max(widest, x - _BETWEEN)
    return places, widest, y + row


def _stacked(
    groups: list[str], outer: dict[str, Size], links: set[tuple[str, str]]
) -> tuple[dict[str, Point], float, float]:
    """Corners, width and height: what is made from others stands below them, in one column."""
    index = {group: n for n, group in enumerate(groups)}
    edges = [(index[a], index[b]) for a, b in sorted(links) if a in index and b in index]
    tops = layered([outer[group] for group in groups], edges).corners
    corners, y = dict[str, Point](), 0.0
    for group in sorted(groups, key=lambda group: (tops[index[group]][1], index[group])):
        corners[group] = (0.0, y)
        y += outer[group][1] + _BETWEEN
    return corners, max(outer[group][0] for group in groups), y - _BETWEEN


def _linked(groups: list[str], links: set[tuple[str, str]]) -> list[list[str]]:
    """Sets of groups that links hold together, in order."""
    leader = {group: group for group in groups}
    for a, b in sorted(links):
        old, new = leader[b], leader[a]
        leader = {group: new if at == old else at for group, at in leader.items()}
    return [[group for group in groups if leader[group] == first] for first in dict.fromkeys(leader.values())]
