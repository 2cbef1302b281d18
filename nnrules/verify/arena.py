"""The arena as a picture: offsets upwards, time (a column for each layer, or band of rows of one) to the right."""

from collections.abc import Iterable
from html import escape

from msgspec.structs import replace

from nnrules.plan.record import Plan, Slot

WIDTH, HEIGHT = 920.0, 320.0
LEFT, BOTTOM = 64.0, 26.0
HUES = 12


def draw(plan: Plan) -> str:
    """A self-contained inline SVG; every slot of the arena tells its name, bytes and steps when pointed at."""
    steps, unit = (len(plan.steps), "step") if plan.flows else (len(plan.layers), "layer")
    column = (WIDTH - LEFT) / steps
    row = (HEIGHT - BOTTOM) / max(plan.arena_bytes, 1)
    parts = [_rectangle(index, slot, column, row, unit) for index, slot in enumerate(_merged(plan.tensors))]
    marks = [_mark(plan.arena_bytes, quarter, row) for quarter in range(5)]
    axis = f'<text class="axis" x="{LEFT:.1f}" y="{HEIGHT - 8:.1f}">{unit} 0 .. {steps - 1}</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="arena map">'
        + "".join(marks + parts)
        + axis
        + "</svg>"
    )


def _merged(slots: Iterable[Slot]) -> list[Slot]:
    """One slot for tensors that share their memory, named after all of them."""
    names: dict[Slot, list[str]] = {}
    for slot in slots:
        names.setdefault(replace(slot, name=""), []).append(slot.name)
    return [replace(place, name=", ".join(tensors)) for place, tensors in names.items()]


def _rectangle(index: int, slot: Slot, column: float, row: float, unit: str) -> str:
    x, width = LEFT + slot.first * column, (slot.last - slot.first + 1) * column
    height = slot.bytes * row
    y = HEIGHT - BOTTOM - (slot.offset + slot.bytes) * row
    about = f"{slot.name}: {slot.bytes:,} bytes at {slot.offset:,}, {unit}s {slot.first} to {slot.last}"
    label = ""
    if height > 14 and width > 7 * len(slot.name):
        label = f'<text x="{x + 4:.1f}" y="{y + min(height / 2 + 4, height - 3):.1f}">{escape(slot.name)}</text>'
    shape = f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 1):.1f}" height="{max(height - 1, 1):.1f}"/>'
    return f'<g style="--hue:{index % HUES * 30}"><title>{escape(about)}</title>{shape}{label}</g>'


def _mark(arena_bytes: int, quarter: int, row: float) -> str:
    offset = arena_bytes * quarter // 4
    y = HEIGHT - BOTTOM - offset * row
    return (
        f'<line x1="{LEFT:.1f}" x2="{WIDTH:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="axis" x="{LEFT - 6:.1f}" y="{max(y + 4, 10):.1f}" text-anchor="end">{offset:,}</text>'
    )
