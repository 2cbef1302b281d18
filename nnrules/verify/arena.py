"""The arena over time as a picture: steps to the right, offsets upwards; above it how many bytes are in use, below it
which layer works.

A step is a layer that sees whole tensors, or a band of rows of one that does not (nnrules.plan.record.Plan.steps).
"""

import math
from collections.abc import Iterable, Sequence
from html import escape

from nnrules.plan.record import Plan
from nnrules.verify import colour
from nnrules.verify.ram import Block, Ram
from nnrules.verify.ticks import step_of

WIDTH = 1000.0
RIGHT = 14.0
TOP = 44.0  # legend, and what is said of the peak
LOADS, MAP, LAYERS = 56.0, 330.0, 380.0  # heights, that of the layers at most
GAP = 12.0
LETTER = 5.7  # the width of one
LONGEST = 26  # letters of a name
COLUMNS = 500  # more steps than these are drawn as runs
LINE = 9.5  # the least height of a line of text
ROW = 13.0  # of a layer at most
MARKS = 4
STREAMS = "#4c78a8"
GREYS = {"scratch": "#b9b9b9", "state": "#555"}

# lightness and chroma of a kind; 0: no tensor's
KINDS = {
    "whole": ("tensor in one piece", 0.70, 0.13),
    "ring": ("rows that are kept (ring)", 0.80, 0.11),
    "fresh": ("rows as they are made", 0.91, 0.06),
    "sums": ("sums", 0.62, 0.15),
    "scratch": ("working memory", 0.0, 0.0),
    "state": ("counters", 0.0, 0.0),
}
STYLE = (
    "<style>"
    ".map{font:10px system-ui,sans-serif;--ink:#222;--faint:#666;--rule:#d8d8d8;--paper:#fff;--load:#b9c4d0}"
    "@media(prefers-color-scheme:dark){.map{--ink:#eee;--faint:#aaa;--rule:#444;--paper:#161616;--load:#46525f}}"
    ".map text{fill:var(--ink)}.map .faint{fill:var(--faint)}.map .on{fill:#111;pointer-events:none}"
    ".map .rule{stroke:var(--rule);stroke-width:.6}.map .paper{fill:var(--paper)}.map .load{fill:var(--load)}"
    ".map .peak{stroke:#d3232f;stroke-width:1.2;stroke-dasharray:4 2.5}.map .red{fill:#d3232f;font-weight:600}"
    ".map .b{stroke:var(--paper)}"
    "</style>"
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="5" height="5" fill="#c9c9c9"/><rect width="2" height="5" fill="#a8a8a8"/></pattern></defs>'
)


def draw(plan: Plan) -> str:
    """A self-contained SVG; every piece of memory tells its name, bytes and steps when pointed at."""
    return _Picture(plan).svg()


class Colours:
    """One hue for each tensor, in the order in which they are used."""

    def __init__(self, ram: Ram) -> None:
        names = dict.fromkeys(block.name for block in ram.blocks if block.kind not in ("scratch", "state"))
        self._numbers = {name: number for number, name in enumerate(names)}

    def of(self, block: Block) -> str:
        """That of a piece of memory: lighter or darker by its kind."""
        return self.tint(block.name, block.kind)

    def tint(self, tensor: str, kind: str = "whole") -> str:
        """That of a tensor, and of what has none."""
        _, lightness, chroma = KINDS[kind]
        if not lightness:
            return GREYS[kind]
        return colour.nth(self._numbers.get(tensor, 3), lightness, chroma)


class _Picture:
    def __init__(self, plan: Plan) -> None:
        self.plan, self.ram = plan, Ram(plan)
        self.steps = self.ram.steps
        self.run = -(-self.steps // COLUMNS)  # steps in a column
        loads = self.ram.loads
        starts = range(0, self.steps, max(self.run, 1))
        self.shown = [max(range(at, min(at + self.run, self.steps)), key=lambda step: loads[step]) for at in starts]
        names = [layer.name for layer in plan.layers]
        self.left = max(58.0, 10.0 + LETTER * min(LONGEST, max(map(len, names), default=0)))
        self.column = (WIDTH - RIGHT - self.left) / max(len(self.shown), 1)
        self.map_bottom = TOP + LOADS + GAP + MAP
        self.row = min(ROW, LAYERS / max(len(names), 1))
        self.bottom = self.map_bottom + GAP + self.row * len(names)
        self.colours = Colours(self.ram)
        made = [block for block in self.ram.blocks if block.kind not in ("ring", "scratch", "state")]
        self.made = {block.first: block.name for block in reversed(made)}

    def svg(self) -> str:
        parts = [self._legend(), *self._load(), *self._map(), *self._layers(), *self._peak(), *self._axis()]
        height = self.bottom + 32
        label = escape(f"arena of {self.plan.model} on {self.plan.target}", quote=True)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" '
            f'aria-label="{label}">{STYLE}<rect class="paper" width="{WIDTH:.0f}" height="{height:.0f}"/>'
            + "\n".join(parts)
            + "</svg>\n"
        )

    def _legend(self) -> str:
        """The kinds that there are."""
        present = {block.kind for block in self.ram.blocks}
        x, parts = self.left, []
        for kind, (text, _, _) in KINDS.items():
            if kind in present:
                fill = _fill(kind, self.colours.tint("", kind))
                parts.append(f'<rect x="{x:.1f}" y="7" width="14" height="11" fill="{fill}"/>')
                parts.append(f'<text x="{x + 19:.1f}" y="16">{text}</text>')
                x += 34 + LETTER * len(text)
        if self.plan.flows:
            parts.append(f'<rect x="{x:.1f}" y="10.5" width="14" height="4" rx="2" fill="{STREAMS}"/>')
            parts.append(f'<text x="{x + 19:.1f}" y="16">rows stream</text>')
        return "".join(parts)

    def _load(self) -> list[str]:
        """Bytes in use, step by step, below a line for the arena."""
        most, bottom = max(self.plan.arena_bytes, 1), TOP + LOADS
        heights = [LOADS * self.ram.loads[step] / most for step in self.shown]
        path = f"M{self.left:.1f} {bottom:.1f}" + "".join(f"V{bottom - h:.1f}h{self.column:.2f}" for h in heights)
        return [
            f'<path class="load" d="{path}V{bottom:.1f}z"><title>bytes in use</title></path>',
            self._rule(TOP),
            self._rule(bottom),
            f'<text class="faint" x="{self.left - 5:.1f}" y="{bottom:.1f}" text-anchor="end">in use</text>',
        ]

    def _map(self) -> list[str]:
        most = self.plan.arena_bytes
        marks = [most * mark // MARKS for mark in range(MARKS + 1)]
        rules = [
            self._rule(self._y(offset))
            + f'<text class="faint" x="{self.left - 5:.1f}" y="{self._y(offset) + 3.5:.1f}" text-anchor="end">'
            + f"{offset:,}</text>"
            for offset in marks
        ]
        return [*rules, *(self._block(block) for block in self.ram.blocks), *self._flows()]

    def _block(self, block: Block) -> str:
        """All that a piece of memory is used for, as one path."""
        pieces = list(self._pieces(block))
        path = "".join(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h-{w:.1f}z" for x, y, w, h in pieces)
        fill = _fill(block.kind, self.colours.of(block))
        stroke = min(0.8, self.column / 4)
        text = KINDS[block.kind][0]
        title = f"{block.name}: {text}, {block.bytes:,} bytes at {block.offset:,}, steps {block.first} to {block.last}"
        shape = f'<path class="b" fill="{fill}" stroke-width="{stroke:.2f}" d="{path}"/>'
        rows, _ = self.ram.rows(block)
        more = f", {rows} rows" if rows > 1 and block.kind == "ring" else ""
        label = _label(block.name, more, pieces, block.kind == "fresh")
        return f"<g><title>{escape(title)}</title>{shape}{label}</g>"

    def _pieces(self, block: Block) -> Iterable[tuple[float, float, float, float]]:
        """Rectangles: x, y, width, height."""
        start, now = 0, None
        for place in range(len(self.shown) + 1):
            span = block.at(self.shown[place]) if place < len(self.shown) else None
            extent = (span.low, span.high) if span else None
            if extent != now:
                if now is not None:
                    top = self._y(block.offset + now[1])
                    height = self._y(block.offset + now[0]) - top
                    yield self.left + start * self.column, top, (place - start) * self.column, height
                start, now = place, extent

    def _flows(self) -> list[str]:
        """A bar over the steps in which rows stream."""
        parts = []
        for flow in self.plan.flows:
            steps = [i for i, node in enumerate(self.plan.steps) if flow.first <= node <= flow.last]
            first, last = steps[0] // self.run, steps[-1] // self.run
            x, width = self.left + first * self.column, (last - first + 1) * self.column
            names = [self.plan.layers[index].name for index in (flow.first, flow.last)]
            about = f"rows stream through {names[0]}" + (f" to {names[1]}" if flow.last > flow.first else "")
            bar = (
                f'<rect x="{x:.1f}" y="{TOP + LOADS + 4:.1f}" width="{width:.1f}" height="4" rx="2" fill="{STREAMS}"/>'
            )
            parts.append(f"<g><title>{escape(about)}</title>{bar}</g>")
        return parts

    def _layers(self) -> list[str]:
        """Which layer works when."""
        nodes = self.plan.steps or tuple(range(self.steps))
        parts = []
        for index, layer in enumerate(self.plan.layers):
            columns = sorted({step // self.run for step, node in enumerate(nodes) if node == index})
            if not columns:
                continue
            y = self.map_bottom + GAP + index * self.row
            first = next(step for step, node in enumerate(nodes) if node == index)
            fill = self.colours.tint(self.made[first]) if first in self.made else "#999"
            middle = f"{y + self.row / 2:.1f}"
            path = "".join(
                f"M{self.left + start * self.column:.1f} {middle}h{count * self.column:.1f}"
                for start, count in _runs(columns)
            )
            name = ""
            if index % math.ceil(LINE / self.row) == 0:
                at = y + self.row / 2 + 3.5
                short = escape(_short(layer.name, LONGEST))
                name = f'<text class="faint" x="{self.left - 5:.1f}" y="{at:.1f}" text-anchor="end">{short}</text>'
            title = escape(f"{layer.name}: {layer.op}, {len(columns)} steps" if self.run == 1 else layer.name)
            parts.append(f'<g><title>{title}</title>{name}<path class="l" stroke="{fill}" d="{path}"/></g>')
        return [self._rule(self.map_bottom + GAP), f'<g stroke-width="{self.row:.1f}">', *parts, "</g>"]

    def _peak(self) -> list[str]:
        ram = self.ram
        if not self.steps:
            return []
        x = self.left + (ram.peak // self.run + 0.5) * self.column
        text = escape(f"most at step {ram.peak}: {ram.loads[ram.peak]:,} bytes in use, layer {ram.layer(ram.peak)}")
        anchor = "end" if x > self.left + (WIDTH - self.left) / 2 else "start"
        aside = -5 if anchor == "end" else 5
        return [
            f'<line class="peak" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 14:.1f}" y2="{self.bottom:.1f}"/>',
            f'<text class="red" x="{x + aside:.1f}" y="{TOP - 6:.1f}" text-anchor="{anchor}">{text}</text>',
        ]

    def _axis(self) -> list[str]:
        y, parts = self.bottom + 13, [self._rule(self.bottom)]
        if not self.steps:
            return parts
        every = step_of(self.steps / 8)
        for step in range(0, self.steps, every):
            x = self.left + (step // self.run + 0.5) * self.column
            parts.append(f'<text class="faint" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{step}</text>')
        note = "step" if self.run == 1 else f"step; each column is a run of {self.run}, drawn where it has most in use"
        parts.append(f'<text class="faint" x="{self.left:.1f}" y="{y + 14:.1f}">{note}</text>')
        return parts

    def _rule(self, y: float) -> str:
        return f'<line class="rule" x1="{self.left:.1f}" x2="{WIDTH - RIGHT:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'

    def _y(self, offset: int) -> float:
        return self.map_bottom - MAP * offset / max(self.plan.arena_bytes, 1)


def _label(text: str, more: str, pieces: Sequence[tuple[float, float, float, float]], whole: bool) -> str:
    """In the piece with the most room, with ``more`` where that fits; else shortened to no less than 4 letters, if not
    ``whole``."""
    needed = LETTER * len(text + more) + 6
    fitting = [piece for piece in pieces if piece[3] >= LINE]
    if not fitting:
        return ""
    x, y, width, height = max(fitting, key=lambda piece: (min(piece[2], needed), piece[3]))
    letters = int((width - 6) / LETTER)
    text += more if letters >= len(text + more) else ""
    if letters < (len(text) if whole else min(len(text), 4)):
        return ""
    return f'<text class="on" x="{x + 3:.1f}" y="{y + height / 2 + 3.5:.1f}">{escape(_short(text, letters))}</text>'


def _fill(kind: str, tint: str) -> str:
    return "url(#hatch)" if kind == "scratch" else tint


def _short(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: max(letters - 1, 0)] + "\u2026"


def _runs(columns: Sequence[int]) -> list[tuple[int, int]]:
    """Start and count of what is without a gap.

    >>> _runs([1, 2, 5])
    [(1, 2), (5, 1)]
    """
    found: list[tuple[int, int]] = []
    for column in columns:
        if found and sum(found[-1]) == column:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((column, 1))
    return found
