"""A scene with the faces that the integer model and the firmware found in it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from decode import STEPS, Face
from numpy.typing import NDArray
from PIL import Image, ImageDraw

ZOOM = 4
Box = tuple[float, float, float, float]
_FACE = re.compile(r"^face \d+: x=(\d+) y=(\d+) w=(\d+) h=(\d+) ", re.MULTILINE)


def draw(scene: NDArray[np.float32], faces: list[Face], console: str, path: Path) -> None:
    """Write a PNG of two copies of the scene: left the integer model's faces, right those the console names."""
    model = [(f.left / STEPS, f.top / STEPS, f.right / STEPS, f.bottom / STEPS) for f in faces]
    panels = [_panel(scene, "integer model", model), _panel(scene, "firmware", console_boxes(console))]
    sheet = Image.new("RGB", (panels[0].width * 2 + ZOOM, panels[0].height), "white")
    for index, panel in enumerate(panels):
        sheet.paste(panel, (index * (panel.width + ZOOM), 0))
    sheet.save(path, format="PNG")


def console_boxes(console: str) -> list[Box]:
    """Left top right bottom in pixels of each face the example application printed."""
    found = [tuple(int(number) for number in match.groups()) for match in _FACE.finditer(console)]
    return [(x, y, x + w, y + h) for x, y, w, h in found]


def _panel(scene: NDArray[np.float32], title: str, boxes: list[Box]) -> Image.Image:
    grey = Image.fromarray(np.round(scene * 255).astype(np.uint8))
    panel = grey.resize((grey.width * ZOOM, grey.height * ZOOM), Image.Resampling.NEAREST).convert("RGB")
    pen = ImageDraw.Draw(panel)
    for left, top, right, bottom in boxes:
        pen.rectangle((left * ZOOM, top * ZOOM, right * ZOOM - 1, bottom * ZOOM - 1), outline="lime", width=2)
    pen.text((6, 4), f"{title}: {len(boxes)} faces", fill="yellow", stroke_width=1, stroke_fill="black")
    return panel
