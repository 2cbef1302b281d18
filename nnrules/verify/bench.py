"""Measured models beside other engines' figures: the comparison, its tables and its picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nnrules.catalog.markdown import markdown
from nnrules.catalog.peers import Peers
from nnrules.graph.ir import Graph, Node
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.fully_connected import FullyConnected

Row = Mapping[str, Any]


def compared(
    measured: Mapping[str, Any], graph: Graph, peers: Peers, unstreamed: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What was measured of one model on one target, with its layers described, the goal and the peers there;
    ``unstreamed``: what was measured of the same without rows that stream."""
    model, target = peers.model(measured["model"]), measured["target"]
    rivals = [peer for peer in model.peers if peer.target == target] if model else []
    layers = [
        {
            "layer": describe(graph, node),
            "macs": layer["macs"],
            "kernel": layer["kernel"],
            "instructions": layer["instructions"],
            "peer_per_mac": peers.per_mac(describe(graph, node), target),
        }
        for node, layer in zip(graph.nodes, measured["layers"], strict=True)
        if layer["kernel"]
    ]
    return {
        **{name: measured[name] for name in ("model", "target", "note", "compiler", "macs", "instructions")},
        "title": model.title if model else measured["model"],
        "ram": measured["ram"],
        "peak": {name: measured["peak"][name] for name in ("arena", "layer", "bytes", "kinds")},
        "unstreamed": unstreamed and {name: unstreamed[name] for name in ("ram", "flash", "instructions")},
        "flash": measured["flash"],
        "metric": measured["metric"],
        "differing": measured["verify"]["differing"],
        "hold": model.hold.get(target) if model else None,
        "hold_ram": model.hold_ram.get(target) if model else None,
        "peers": [{"name": p.name, "instructions": p.instructions, "ram": p.ram, "flash": p.flash} for p in rivals],
        "layers": layers,
    }


def place(row: Row, peers: Peers) -> tuple[int, int, bool]:
    """What rows are sorted by: target, network, and a model of models/ before files of the same network."""
    names = [model.name for model in peers.models]
    targets, own = peers.targets, peers.model(row["model"])
    return (
        targets.index(row["target"]) if row["target"] in targets else len(targets),
        names.index(own.name) if own else len(names),
        row["model"] not in names,
    )


def describe(graph: Graph, node: Node) -> str:
    """A layer in words, such as `conv 3x3/2 16->32, 32x32`: kernel, stride, channels, size of the input."""
    operator, shape = node.operator, graph.tensors[node.inputs[0]].shape
    size = f", {shape[0]}x{shape[1]}" if len(shape) == 3 else ""
    if isinstance(operator, FullyConnected):
        return f"fully connected {operator.weights.shape[1]}->{len(operator.weights)}"
    if not isinstance(operator, Conv2d):
        return f"{operator.op.replace('_', ' ')} {'x'.join(map(str, shape))}"
    geometry, channels = operator.geometry, len(operator.weights)
    window = f"{geometry.kernel[0]}x{geometry.kernel[1]}" + (f"/{geometry.stride[0]}" if geometry.stride[0] > 1 else "")
    if operator.groups == channels == shape[-1] > 1:
        return f"depthwise {window} {channels}{size}"
    return f"conv {window} {shape[-1]}->{channels}{size}"


def tables(rows: Sequence[Row], peers: Peers) -> str:
    """Markdown, its columns aligned: instructions, memory, RAM in its parts, and the layers by kind."""
    about = (
        f"Peers: {peers.source}. Instructions under QEMU are not cycles. RAM and flash in bytes; working memory is the "
        "part of the arena that kernels use as such when most is in use."
    )
    parts = [about, _instructions(rows), _memory(rows), _ram(rows), _layers(rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(rows: Sequence[Row], path: Path) -> None:
    """An SVG: our instructions and our RAM as shares of the best peer's, for each target that has peers."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    counts = _shares(rows, lambda row: row["instructions"], "instructions")
    sizes = _shares(rows, lambda row: row["ram"]["total"], "ram")
    whole = _shares(rows, lambda row: (row["unstreamed"] or row)["ram"]["total"], "ram")
    heights = [max(len(shares), 1) for shares in (counts, sizes) if shares or shares is counts]
    figure = Figure(figsize=(8, 1.2 * len(heights) + 0.28 * sum(heights)), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _bars(panels[0], counts, "instructions of the best peer = 1")
    if sizes:
        _bars(panels[1], whole, "RAM of the best peer = 1 (light: tensors in one piece)", "#d3dce6", "#8a8a8a")
        _bars(panels[1], sizes, "RAM of the best peer = 1 (light: tensors in one piece)")
    with rc_context({"svg.hashsalt": "nnrules", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _shares(rows: Sequence[Row], own: Callable[[Row], int | None], figure: str) -> dict[str, float]:
    """By model and target, as a share of the best peer's."""
    found = {f"{row['model']} on {row['target']}": _ratio(own(row), _best(row, figure)) for row in rows}
    return {name: share for name, share in found.items() if share}


def _bars(axes: Any, shares: Mapping[str, float], label: str, colour: str = "#4c78a8", ink: str = "#111") -> None:
    bars = axes.barh(list(shares), list(shares.values()), color=colour)
    axes.bar_label(bars, labels=[f"{share:.2f}" for share in shares.values()], padding=3, fontsize=8, color=ink)
    axes.axvline(1, color="#888", linewidth=1)
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.set_xlim(0, 1.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(label)


def _instructions(rows: Sequence[Row]) -> str:
    """Of whole models."""
    heading = ["model", "target", "instructions", "per MAC", "to hold", "best peer", "its instructions", "ratio"]
    lines = []
    for row in rows:
        count, best = row["instructions"], _best(row, "instructions")
        rival = next((peer["name"] for peer in row["peers"] if peer["instructions"] == best), "-")
        lines.append(
            [
                f"{row['title']} ({row['note'] or _scored(row)})",
                row["target"],
                _number(count) + _over(count, row["hold"]),
                _fraction(_ratio(count, row["macs"])),
                _number(row["hold"]),
                rival,
                _number(best),
                _fraction(_ratio(count, best)),
            ]
        )
    return markdown(heading, lines, left=(0, 1, 5))


def _scored(row: Row) -> str:
    """A model that nobody calls anything else: its name and its integer model's score."""
    metric = row["metric"]
    return f"{row['model']}, {metric['name']} {metric['integer']:.3f}" if metric else str(row["model"])


def _memory(rows: Sequence[Row]) -> str:
    """RAM and flash of the shipped programs."""
    heading = ["model", "target", "RAM", "best peer's", "ratio", "code", "weights", "flash", "best peer's", "ratio"]
    lines = []
    for row in rows:
        ram, flash = row["ram"]["total"], row["flash"]["total"]
        sizes = [_number(row["flash"][part]) for part in ("code", "weights", "total")]
        peer_ram, peer_flash = _best(row, "ram"), _best(row, "flash")
        ratios = [_fraction(_ratio(own, peer)) for own, peer in ((ram, peer_ram), (flash, peer_flash))]
        ours = [row["model"], row["target"], _number(ram), _number(peer_ram), ratios[0]]
        lines.append([*ours, *sizes, _number(peer_flash), ratios[1]])
    return markdown(heading, lines, left=(0, 1))


def _ram(rows: Sequence[Row]) -> str:
    """What the RAM is made of, and what the same models take without rows that stream, where that was measured."""
    heading = ["model", "target", "arena", "working memory", "stack", "data", "RAM", "to hold", "best peer's", "ratio"]
    heading += ["unstreamed", "ratio", "instructions", "unstreamed", "ratio"]
    lines = []
    for row in rows:
        if row["unstreamed"] is None:
            continue
        ram, other = row["ram"], row["unstreamed"]
        parts = [ram["arena"], row["peak"]["kinds"].get("scratch", 0), ram["stack"], ram["data"] + ram["bss"]]
        best, whole = _best(row, "ram"), other["ram"]["total"]
        counts = row["instructions"], other["instructions"]
        lines.append(
            [
                row["model"],
                row["target"],
                *(_number(part) for part in parts),
                _number(ram["total"]) + _over(ram["total"], row["hold_ram"]),
                _number(row["hold_ram"]),
                _number(best),
                _fraction(_ratio(ram["total"], best)),
                _number(whole),
                _fraction(_ratio(ram["total"], whole)),
                *(_number(count) for count in counts),
                _thousandths(_ratio(*counts)),
            ]
        )
    return markdown(heading, lines, left=(0, 1))


def _layers(rows: Sequence[Row]) -> str:
    """Instructions per multiply-accumulate of each layer that multiplies, equal ones once; CMSIS-NN's beside it where
    they are known."""
    targets = list(dict.fromkeys(row["target"] for row in rows))
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        for layer in row["layers"]:
            if layer["macs"]:
                entry = found.setdefault(layer["layer"], {"macs": layer["macs"], "models": {}, "own": {}, "peer": {}})
                entry["models"][row["model"]] = None
                entry["own"].setdefault(row["target"], _ratio(layer["instructions"], layer["macs"]))
                entry["peer"][row["target"]] = layer["peer_per_mac"]
    rivals = [target for target in targets if any(entry["peer"].get(target) for entry in found.values())]
    heading = ["layer", "models", "MACs"]
    for target in targets:
        heading += [target, "CMSIS-NN", "ratio"] if target in rivals else [target]
    lines = []
    for name, entry in found.items():
        line = [name, ", ".join(entry["models"]), _number(entry["macs"])]
        for target in targets:
            own, peer = entry["own"].get(target), entry["peer"].get(target)
            line += [_fraction(own)] + ([_fraction(peer), _fraction(_ratio(own, peer))] if target in rivals else [])
        lines.append(line)
    return markdown(heading, lines, left=(0, 1))


def _best(row: Row, figure: str) -> int | None:
    return min((peer[figure] for peer in row["peers"] if peer[figure] is not None), default=None)


def _ratio(value: float | None, reference: float | None) -> float | None:
    return value / reference if value is not None and reference else None


def _over(value: int | None, limit: int | None) -> str:
    """A mark, as in the table of a build."""
    return "!" if limit and value and value > limit else ""


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _fraction(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _thousandths(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
