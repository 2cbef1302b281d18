"""bench: what was measured of many models on many targets, beside other engines' figures: tables and a picture.

Inputs: peers (TOML); measured and graph, one of each for every model and target, in one order. Outputs: results (JSON),
tables (Markdown, which the terminal shows), picture (SVG).
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
    rows = [bench.compared(_json(Path(measured)), ir.load(graph), peers) for measured, graph in pairs]
    rows.sort(key=lambda row: bench.place(row, peers))
    results = {"source": peers.source, "rows": rows}
    request.output("results").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    request.output("tables").write_text(bench.tables(rows, peers), encoding="utf-8")
    bench.draw(rows, request.output("picture"))


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


if __name__ == "__main__":
    main(run, BenchOptions)
