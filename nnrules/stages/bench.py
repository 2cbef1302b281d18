"""bench: what was measured of many models on many targets, beside other engines' figures: tables and a picture.

Inputs: peers (TOML); measured and graph, one of each for every model and target, in one order; unstreamed: what was
measured of some of them without rows that stream. Outputs: results (JSON), tables (Markdown, which the terminal shows),
picture (SVG).
"""

from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.peers import load_peers
from nnrules.catalog.stages import BenchOptions
from nnrules.graph import ir
from nnrules.stages.runner import Request, main
from nnrules.verify import bench


def run(request: Request[BenchOptions]) -> None:
    """Compare and write."""
    peers = load_peers(request.input("peers"))
    pairs = zip(request.inputs["measured"], request.inputs["graph"], strict=True)
    others = [_json(Path(path)) for path in request.inputs.get("unstreamed", ())]
    unstreamed = {(other["model"], other["target"].partition("/")[0]): other for other in others}
    rows = []
    for path, graph in pairs:
        measured = _json(Path(path))
        other = unstreamed.get((measured["model"], measured["target"]))
        rows.append(bench.compared(measured, ir.load(graph), peers, other))
    rows.sort(key=lambda row: bench.place(row, peers))
    results = {"source": peers.source, "rows": rows}
    request.output("results").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    request.output("tables").write_text(bench.tables(rows, peers), encoding="utf-8")
    bench.draw(rows, request.output("picture"))


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


if __name__ == "__main__":
    main(run, BenchOptions)
