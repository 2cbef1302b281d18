"""A study's rows as tables and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nnrules.catalog.markdown import markdown
from nnrules.catalog.stages import FLOAT, StudyOptions

Row = dict[str, Any]
OVER = (("weight_bytes", 1024, "KB of weights"), ("macs", 1e6, "million multiplications"))
MARKERS = "os^vD*PXph<>d"


def tables(options: StudyOptions, rows: Sequence[Row]) -> str:
    """Markdown: for each model a table of its rows; "points" is the difference to float in hundredths."""
    parts = [f"# {options.title}"] if options.title else []
    parts += [options.notes.strip()] if options.notes else []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        target = mine[0]["target"]
        parts.append(
            f"## {model}\n\n{_sentence(mine[0]['metric'])}, mean and standard deviation over the seeds; sparsity as "
            f"asked for; points: hundredths above float. Weight bytes: constants of the program for {target} (float: "
            f"of the ONNX file); instructions: of one inference under QEMU; every integer was compared, "
            f"{sum(row['differing'] for row in mine)} differ."
        )
        parts.append(_table(mine))
    return "\n\n".join(parts) + "\n"


def _sentence(name: str) -> str:
    """A metric's name, which may have capitals of its own, as the first word of one."""
    return name[:1].upper() + name[1:]


def _table(rows: Sequence[Row]) -> str:
    exact = next((row["metric_mean"] for row in rows if row["method"] == FLOAT), None)
    heading = ["method", "weights", "activations", "sparsity", "metric", "std", "points", "seeds", "MACs"]
    heading += ["weight bytes", "instructions"]
    lines = []
    for row in rows:
        is_float = row["method"] == FLOAT
        lines.append(
            [
                row["method"],
                *("float" if is_float else f"{row[name]} bits" for name in ("weight_bits", "activation_bits")),
                f"{row['sparsity']:.0%}" if row["sparsity"] else "-",
                f"{row['metric_mean']:.4f}",
                "-" if row["metric_std"] is None else f"{row['metric_std']:.4f}",
                "-" if exact is None or is_float else f"{100 * (row['metric_mean'] - exact):+.2f}",
                str(row["seeds"]),
                *("-" if row[name] is None else f"{row[name]:,}" for name in ("macs", "weight_bytes", "instructions")),
            ]
        )
    return markdown(heading, lines, left=(0,))


def draw(rows: Sequence[Row], path: Path) -> None:
    """An SVG, two panels for each model: the metric over the bytes of weights and over the multiplications, a mark for
    each method, the same for all models."""
    from matplotlib import colormaps, rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row["model"] for row in rows))
    looks = {
        method: {"marker": MARKERS[number % len(MARKERS)], "color": colormaps["tab20"](number % 20)}
        for number, method in enumerate(dict.fromkeys(row["method"] for row in rows))
    }
    figure = Figure(figsize=(12, 4.4 * len(models)), layout="constrained")
    FigureCanvasSVG(figure)
    for pair, model in zip(figure.subplots(len(models), 2, sharey="row", squeeze=False), models, strict=True):
        mine = [row for row in rows if row["model"] == model]
        for axes, (over, unit, label) in zip(pair, OVER, strict=True):
            _panel(axes, mine, over, unit, looks)
            axes.set_xlabel(label)
        pair[0].set_ylabel(f"{model}: {mine[0]['metric']}")
        pair[0].legend(fontsize=8, ncols=2, loc="lower right")
    with rc_context({"svg.hashsalt": "nnrules", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _panel(axes: Any, rows: Sequence[Row], over: str, unit: float, looks: dict[str, dict[str, Any]]) -> None:
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    for method in dict.fromkeys(row["method"] for row in rows):
        mine = sorted((row for row in rows if row["method"] == method), key=lambda row: row[over])
        axes.errorbar(
            [row[over] / unit for row in mine],
            [row["metric_mean"] for row in mine],
            [row["metric_std"] or 0 for row in mine],
            label=method,
            linewidth=0.8,
            capsize=2,
            **looks[method],
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter("")
    axes.spines[["top", "right"]].set_visible(False)
