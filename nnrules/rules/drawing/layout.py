"""A layered layout: every edge leads downwards, few edges cross, no box lies on another.

Layers by longest path, order in a layer by barycentres (Sugiyama, Tagawa, Toda 1981), places by isotonic regression.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Size = tuple[float, float]
Point = tuple[float, float]
Edge = tuple[int, int]

_ACROSS, _DOWN = 18.0, 54.0  # between boxes of a layer, between layers
_PASSING = (9.0, 0.0)  # the size of an edge where it passes a layer
_SWEEPS = 12


@dataclass(frozen=True)
class Placement:
    """`corners`: top left, of each box; `routes`: the points that an edge passes, from box to box."""

    corners: list[Point]
    routes: dict[Edge, list[Point]]
    width: float
    height: float


def layered(sizes: Sequence[Size], edges: Sequence[Edge]) -> Placement:
    """Place boxes with these (width, height); edges as pairs of their indices, without a circle."""
    edges = sorted(set(edges))
    layer = _layers(len(sizes), edges)
    passing, chains = _chains(edges, layer, len(sizes))
    layer = [*layer, *passing]
    drawn = [*sizes, *[_PASSING] * len(passing)]
    pairs = [pair for chain in chains.values() for pair in pairwise(chain)]
    above, below = _neighbours(len(drawn), [(b, a) for a, b in pairs]), _neighbours(len(drawn), pairs)
    rows = _ordered(
        [[n for n in range(len(drawn)) if layer[n] == k] for k in range(max(layer, default=-1) + 1)], above, below
    )
    centres = _centres(rows, drawn, above, below)
    left = min((centres[n] - drawn[n][0] / 2 for n in range(len(drawn))), default=0.0)
    tops, height = _tops(rows, drawn)
    corners = [(centres[n] - drawn[n][0] / 2 - left, tops[layer[n]][0]) for n in range(len(drawn))]
    width = max((corners[n][0] + drawn[n][0] for n in range(len(drawn))), default=0.0)
    routes = _routes(chains, drawn, corners, tops, layer)
    return Placement(corners[: len(sizes)], routes, width, height)


def turned(placement: Placement) -> Placement:
    """The same from left to right, for boxes whose (height, width) were given."""
    routes = {edge: [(y, x) for x, y in points] for edge, points in placement.routes.items()}
    return Placement([(y, x) for x, y in placement.corners], routes, placement.height, placement.width)


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """The layer of each node: below all that it needs; what needs nothing is right above the first that needs it."""
    needs, gives = _neighbours(count, [(b, a) for a, b in edges]), _neighbours(count, edges)
    layer, missing = [0] * count, [len(each) for each in needs]
    ready = [n for n in range(count) if not missing[n]]
    for n in ready:
        for user in gives[n]:
            layer[user] = max(layer[user], layer[n] + 1)
            missing[user] -= 1
            if not missing[user]:
                ready.append(user)
    for n in range(count):
        if gives[n] and not needs[n]:
            layer[n] = min(layer[user] for user in gives[n]) - 1
    return layer


def _neighbours(count: int, edges: Sequence[Edge]) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        found[a].append(b)
    return found


def _chains(edges: Sequence[Edge], layer: list[int], first: int) -> tuple[list[int], dict[Edge, list[int]]]:
    """The layers of the places where edges pass, numbered from `first`; the nodes and places of each edge."""
    passing, chains = list[int](), dict[Edge, list[int]]()
    for a, b in edges:
        between = range(layer[a] + 1, layer[b])
        chains[a, b] = [a, *range(first + len(passing), first + len(passing) + len(between)), b]
        passing += between
    return passing, chains


def _ordered(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> list[list[int]]:
    """The rows, so that few edges cross: each is sorted by the mean place of its neighbours, downwards and upwards."""
    best, fewest = rows, _crossings(rows, below)
    for sweep in range(_SWEEPS):
        rows = [list(row) for row in rows]
        neighbours = below if sweep % 2 else above
        for row in reversed(rows) if sweep % 2 else rows:
            place = {n: k for each in rows for k, n in enumerate(each)}
            row.sort(key=lambda n: _mean([place[m] for m in neighbours[n]], place[n]))
        crossings = _crossings(rows, below)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(rows: list[list[int]], below: list[list[int]]) -> int:
    """How many edges cross: inversions between each two rows."""
    place = {n: k for row in rows for k, n in enumerate(row)}
    total = 0
    for row in rows:
        seen = list[int]()
        for n in row:
            ends = [place[m] for m in below[n]]
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _centres(
    rows: list[list[int]], sizes: Sequence[Size], above: list[list[int]], below: list[list[int]]
) -> list[float]:
    """The middle of each node across, near the mean of its neighbours'."""
    centres = [0.0] * len(sizes)
    for row in rows:
        for n, x in zip(row, _apart([0.0] * len(row), [sizes[n][0] for n in row]), strict=True):
            centres[n] = x
    for sweep in range(_SWEEPS):
        for row in reversed(rows) if sweep % 2 else rows:
            near = [(below[n] if sweep % 2 else above[n]) or [*above[n], *below[n]] for n in row]
            wanted = [_mean([centres[m] for m in each], centres[n]) for n, each in zip(row, near, strict=True)]
            for n, x in zip(row, _apart(wanted, [sizes[n][0] for n in row]), strict=True):
                centres[n] = x
    return centres


def _apart(wanted: list[float], widths: list[float]) -> list[float]:
    """The middles nearest to `wanted` (least squares) of boxes in this order that do not touch."""
    offset, offsets = 0.0, list[float]()
    for n, width in enumerate(widths):
        box = max(widths[n - 1], width) > _PASSING[0]
        offset += (widths[n - 1] + width) / 2 + (_ACROSS if box else 0.0) if n else 0.0
        offsets.append(offset)
    pools = list[tuple[float, int]]()  # sum and number of what lies side by side
    for value in (want - offset for want, offset in zip(wanted, offsets, strict=True)):
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    level = [total / count for total, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(level, offsets, strict=True)]


def _tops(rows: list[list[int]], sizes: Sequence[Size]) -> tuple[list[tuple[float, float]], float]:
    """(top, height) of each layer, and the height of all."""
    found, y = list[tuple[float, float]](), 0.0
    for row in rows:
        height = max((sizes[n][1] for n in row), default=0.0)
        found.append((y, height))
        y += height + _DOWN
    return found, max(0.0, y - _DOWN)


def _routes(
    chains: dict[Edge, list[int]],
    sizes: Sequence[Size],
    corners: list[Point],
    tops: list[tuple[float, float]],
    layer: list[int],
) -> dict[Edge, list[Point]]:
    """Where edges leave and enter a box, they are side by side in the order of where they come from."""
    middle = [corner[0] + size[0] / 2 for corner, size in zip(corners, sizes, strict=True)]
    leaving, entering = dict[int, list[Edge]](), dict[int, list[Edge]]()
    for edge, chain in chains.items():
        leaving.setdefault(edge[0], []).append((edge[1], chain[1]))
        entering.setdefault(edge[1], []).append((edge[0], chain[-2]))
    found = dict[Edge, list[Point]]()
    for (a, b), chain in chains.items():
        start = (_port(a, b, leaving[a], middle, sizes), corners[a][1] + sizes[a][1])
        end = (_port(b, a, entering[b], middle, sizes), corners[b][1])
        through = [(middle[n], y) for n in chain[1:-1] for y in (tops[layer[n]][0], sum(tops[layer[n]]))]
        floor = (start[0], sum(tops[layer[a]]))
        found[a, b] = [start, *([floor] if floor[1] > start[1] else []), *through, end]
    return found


def _port(node: int, other: int, edges: list[Edge], middle: list[float], sizes: Sequence[Size]) -> float:
    """Where across its box an edge starts or ends; `edges`: (other end, next place) of all there."""
    order = [end for end, _ in sorted(edges, key=lambda each: (middle[each[1]], each))]
    step = min(14.0, sizes[node][0] * 0.8 / len(order))
    return middle[node] + step * (order.index(other) - (len(order) - 1) / 2)


def _mean(values: list[float] | list[int], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
