"""The picture of a model whose dataset draws none: what each layer costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(measured: Mapping[str, Any], path: Path) -> str:
    """Write a PNG of the layers' instructions, or of their multiply-accumulates where instructions are not counted; its
    heading."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    layers = [layer for layer in measured["layers"] if layer["kernel"]]
    counted = any(layer["instructions"] is not None for layer in layers)
    unit = "instructions" if counted else "macs"
    figure = Figure(figsize=(8, 0.8 + 0.3 * len(layers)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = axes.barh([layer["name"] for layer in layers], [layer[unit] or 0 for layer in layers], color="#4c78a8")
    axes.bar_label(bars, labels=[f"{layer[unit] or 0:,}" for layer in layers], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    shown = "instructions" if counted else "multiply-accumulates"
    axes.set_xlabel(shown)
    axes.set_title(f"{measured['model']} on {measured['target']}")
    figure.savefig(path, format="png", metadata={"Software": None})
    return f"{shown.capitalize()} of each layer"
