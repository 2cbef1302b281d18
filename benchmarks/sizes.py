"""What larger inputs cost: the RAM that is planned for a network against the height and the width of its input.

`python -m benchmarks.sizes` plans facedet and vww for Cortex-M7 on inputs of other sizes, with rows that stream and
without, builds one of the programs, runs it under the emulator (its outputs are compared with the reference), and
writes benchmarks/sizes.json, sizes.md and sizes.svg. Weights and calibration are drawn by lot.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.whole import Shipped, lowered, planned, shipped
from nnrules.codegen.model import ModelCode
from nnrules.graph.ir import Graph
from nnrules.plan.planner import UNSTREAMED
from nnrules.plan.record import Plan
from nnrules.stages.runner import load_reference
from nnrules.training.task import make_network

FOLDER = Path(__file__).resolve().parent
MODELS = FOLDER.parent / "models"
TARGET = "cortex-m7"
SIDES = (96, 160, 240, 320)
NETWORKS = {"facedet": ("FaceDet", 1), "vww": ("PersonDetector", 3)}  # class, channels of the input
SENSORS = {"facedet": ((240, 320), (320, 240)), "vww": ()}  # heights and widths besides
RUN = ("facedet", 240, 320)


@dataclass(frozen=True)
class Size:
    """One network on one size of input: bytes of the arena with rows that stream and without, instructions as
    estimated, bytes of flash that the order of the rows takes, and the peak's layer."""

    model: str
    height: int
    width: int
    streamed: int
    whole: int
    streamed_instructions: int
    whole_instructions: int
    schedule: int
    peak: str

    @property
    def pixels(self) -> int:
        """Of the input."""
        return self.height * self.width


def main() -> None:
    """Plan, run one, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=NETWORKS, action="append", help="only this one, and write nothing")
    given = parser.parse_args()
    ran = None if given.model else run(*RUN)
    rows = []
    for model in given.model or NETWORKS:
        for height, width in sizes(model):
            rows.append(measure(model, height, width))
            print(_line(rows[-1]), flush=True)
    if ran is not None:
        write(rows, {"model": RUN[0], "height": RUN[1], "width": RUN[2], **asdict(ran)}, FOLDER)


def sizes(model: str) -> list[tuple[int, int]]:
    """Heights at the least width, widths at the least height, and sensors."""
    least = SIDES[0]
    crossed = [(side, least) for side in SIDES] + [(least, side) for side in SIDES[1:]]
    return [*crossed, *SENSORS[model]]


def measure(model: str, height: int, width: int) -> Size:
    """Plan both programs of a network."""
    graph, _ = sized(model, height, width)
    streamed, whole = planned(graph, TARGET), planned(graph, TARGET, ram=UNSTREAMED)
    return Size(
        model=model,
        height=height,
        width=width,
        streamed=streamed.arena_bytes,
        whole=whole.arena_bytes,
        streamed_instructions=round(_instructions(streamed)),
        whole_instructions=round(_instructions(whole)),
        schedule=table_bytes(graph, streamed),
        peak=streamed.peak,
    )


def run(model: str, height: int, width: int) -> Shipped:
    """Build and run the program whose rows stream. Raises AssertionError where its arena is not as planned."""
    graph, sample = sized(model, height, width)
    plan = planned(graph, TARGET)
    found = shipped(graph, sample, TARGET, plan)
    assert found.arena == plan.arena_bytes
    return found


def sized(model: str, height: int, width: int) -> tuple[Graph, np.ndarray]:
    """The integer program of a network on inputs of another size, and a sample."""
    import torch
    from torch import nn

    name, channels = NETWORKS[model]
    network: Any = make_network(load_reference(f"{MODELS}/{model}/network.py:{name}"))
    network.input_shape = (channels, height, width)
    network.input_range = (0.0, 1.0)
    if model == "vww":  # the average of the whole image, however large
        with torch.no_grad():
            image = network.layers(network.stem(torch.zeros(1, channels, height, width)))
        network.pool = nn.AvgPool2d(tuple(image.shape[2:]))
    return lowered(network, model)


def table_bytes(graph: Graph, plan: Plan) -> int:
    """What the tables take that say in which order rows are computed."""
    rows = ModelCode(graph, plan).rows
    if rows is None:
        return 0
    entries = sum(line.entries.count(",") + 1 for line in rows.lines)
    sizes_of = {"uint8_t": 1, "uint16_t": 2}
    return entries * sizes_of[rows.entry_type] + len(rows.starts) * sizes_of[rows.start_type]


def write(rows: Sequence[Size], ran: Mapping[str, Any], folder: Path) -> None:
    """sizes.json, sizes.md and sizes.svg."""
    record = {"target": TARGET, "rows": [asdict(row) for row in rows], "run": ran}
    (folder / "sizes.json").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    (folder / "sizes.md").write_text(table(rows, ran), encoding="utf-8")
    draw(rows, folder / "sizes.svg")


def table(rows: Sequence[Size], ran: Mapping[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| network | height x width | arena, rows stream | tensors in one piece | ratio | instructions, estimated "
        "| order of the rows, flash |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_line(row) for row in rows]
    about = (
        f"{ran['model']} on {ran['height']}x{ran['width']} was built and run under QEMU: arena {ran['arena']:,} bytes "
        f"as planned, stack {ran['stack']:,}, other variables {ran['data']:,}, {ran['instructions']:,} instructions."
    )
    return f"{chr(10).join(lines)}\n\n{about}\n"


def draw(rows: Sequence[Size], path: Path) -> None:
    """An SVG: for each network RAM against height and against width."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row.model for row in rows))
    figure = Figure(figsize=(8, 3.1 * len(models)), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(len(models), 2, sharey="row", squeeze=False)
    for line, model in zip(axes, models, strict=True):
        own = [row for row in rows if row.model == model]
        for place, side in zip(line, ("height", "width"), strict=True):
            _panel(place, own, side)
        line[0].set_ylabel(f"{model}: arena, KB")
    axes[0][0].legend(frameon=False, fontsize=8)
    with rc_context({"svg.hashsalt": "nnrules", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _panel(axes: Any, rows: Sequence[Size], side: str) -> None:
    """Against one side, where the other is the least; sensors beside it in the panel of the width."""
    other, least = {"height": "width", "width": "height"}[side], SIDES[0]
    shown = sorted((row for row in rows if getattr(row, other) == least), key=lambda row: getattr(row, side))
    x = [getattr(row, side) for row in shown]
    axes.plot(x, [row.whole / 1024 for row in shown], "o--", color="#b0b0b0", label="tensors in one piece")
    axes.plot(x, [row.streamed / 1024 for row in shown], "o-", color="#4c78a8", label="rows stream")
    for row in shown:
        below = side == "width" and row.width > least
        _note(axes, row, getattr(row, side), "", (0, -13 if below else 6), "center")
    for row in rows if side == "width" else ():
        if min(row.height, row.width) > least:
            axes.plot(row.width, row.streamed / 1024, "D", color="#e45756")
            _note(axes, row, row.width, f", in one piece {row.whole / 1024:.0f}", (-8, 4), "right")
    axes.set_ylim(0)
    axes.set_xticks(x)
    axes.set_xlabel(f"{side} of the input ({other} {least})")
    axes.spines[["top", "right"]].set_visible(False)


def _note(axes: Any, row: Size, x: int, more: str, offset: tuple[int, int], where: str) -> None:
    """Kilobytes beside a point; with ``more`` text, the size of the picture before them."""
    text = f"{row.width} x {row.height}: " if more else ""
    text += f"{row.streamed / 1024:.1f}{more}"
    axes.annotate(text, (x, row.streamed / 1024), offset, textcoords="offset points", fontsize=8, ha=where)


def _instructions(plan: Plan) -> float:
    return sum(layer.instructions for layer in plan.layers)


def _line(row: Size) -> str:
    more = row.streamed_instructions / row.whole_instructions - 1
    return (
        f"| {row.model} | {row.height}x{row.width} | {row.streamed:,} | {row.whole:,} | {row.streamed / row.whole:.3f} "
        f"| {100 * more:+.1f} % | {row.schedule:,} |"
    )


if __name__ == "__main__":
    main()
