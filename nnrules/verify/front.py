"""The trade of RAM for instructions as a small picture: what the planner found, and what it took."""

from html import escape

from nnrules.verify.ram import KILOBYTE, Ram
from nnrules.verify.ticks import step_of

WIDTH, HEIGHT = 460.0, 250.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 16.0, 14.0, 40.0
MOST = 1.5  # times the fewest instructions; points with more are told, not drawn
STYLE = (
    "<style>.front{font:11px system-ui,sans-serif;--ink:#222;--faint:#666;--rule:#d8d8d8;--paper:#fff}"
    "@media(prefers-color-scheme:dark){.front{--ink:#eee;--faint:#aaa;--rule:#444;--paper:#161616}}"
    ".front text{fill:var(--faint)}.front .rule{stroke:var(--rule);stroke-width:.6}.front .paper{fill:var(--paper)}"
    ".front path{fill:none;stroke:#4c78a8;stroke-width:1.6}.front .dot{fill:#4c78a8}.front .here{fill:#d3232f}"
    ".front .red{fill:#d3232f;font-weight:600}</style>"
)


def draw(ram: Ram) -> str:
    """An SVG; kilobytes in use to the right, instructions above the fewest upwards, as a share."""
    fewest = min(point.instructions for point in ram.plan.front)
    near = [point for point in ram.plan.front if point.instructions <= MOST * fewest]
    left_out = len(ram.plan.front) - len(near)
    highest = max(point.instructions for point in near) / fewest - 1
    top = max(1.08 * highest, 0.02)
    right = 1.05 * max(point.bytes for point in near)

    def place(size: int, instructions: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * size / right
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (instructions / fewest - 1) / top

    parts = [f'<rect class="paper" width="{WIDTH:.0f}" height="{HEIGHT:.0f}"/>']
    for quarter in range(5):
        _, y = place(0, fewest * (1 + top * quarter / 4))
        parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">+{100 * top * quarter / 4:.1f} %</text>')
    for kilobytes in range(0, int(right / KILOBYTE) + 1, step_of(right / KILOBYTE / 6)):
        x, _ = place(kilobytes * KILOBYTE, fewest)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{kilobytes}</text>')
    note = f"KB in use{f'; {left_out} with more than +{100 * MOST - 100:.0f} % left out' if left_out else ''}"
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">{note}</text>')
    corners = sorted(place(point.bytes, point.instructions) for point in near)
    line = f"M{corners[0][0]:.1f} {corners[0][1]:.1f}" + "".join(f"H{x:.1f}V{y:.1f}" for x, y in corners[1:])
    parts.append(f'<path d="{line}"/>')
    for point in near:
        x, y = place(point.bytes, point.instructions)
        about = escape(f"{point.bytes:,} bytes in use, {point.instructions:,.0f} instructions")
        kind, radius = ("here", 5) if point is ram.here else ("dot", 3)
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"><title>{about}</title></circle>')
        if point is ram.here:
            aside, anchor = (9, "start") if x < WIDTH / 2 else (-9, "end")
            parts.append(f'<text class="red" x="{x + aside:.1f}" y="{y - 7:.1f}" text-anchor="{anchor}">taken</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="front" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" '
        f'aria-label="RAM against instructions">{STYLE}{"".join(parts)}</svg>'
    )
