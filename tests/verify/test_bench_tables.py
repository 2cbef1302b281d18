"""How layers are called, how rows are sorted, what a table says of a model that is over its goal."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.networks import NETWORKS
from nnrules.catalog.peers import Peer, PeerLayer, PeerModel, Peers
from nnrules.verify.bench import compared, describe, draw, place, tables

PEERS = Peers(
    source="somebody",
    targets=("b", "a"),
    models=(
        PeerModel(
            name="ad",
            title="Sounds",
            macs=264_192,
            also=("official",),
            hold={"a": 99},
            hold_ram={"a": 4},
            peers=(
                Peer(name="large", target="a", instructions=300, ram=10),
                Peer(name="small", target="a", instructions=200, ram=20, flash=30),
            ),
        ),
    ),
    layers=(PeerLayer(layer="fully connected 640->128", per_mac={"a": 2.0}),),
)


def measured(model: str, target: str, **figures: Any) -> dict[str, Any]:
    graph = NETWORKS["ad"]()
    layers = [
        {"name": node.name, "op": node.operator.op, "kernel": "k", "macs": graph.macs(node), "instructions": 81_920}
        for node in graph.nodes
    ]
    return {
        "model": model, "target": target, "note": None, "compiler": "cc 1", "macs": 264_192, "instructions": 100,
        "layers": layers, "metric": None, "verify": {"differing": 0},
        "ram": {"arena": 3, "stack": 2, "data": 0, "bss": 0, "total": 5},
        "flash": {"code": 1, "weights": 2, "total": 3}, **figures,
        "peak": {"arena": 3, "layer": "l", "bytes": 3, "kinds": {"scratch": 1, "whole": 2}, "gaps": 0},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("kws", ["conv 10x4/2 1->64, 49x10", "depthwise 3x3 64, 25x5", "fully connected 64->12"]),
        ("vww", ["conv 3x3/2 3->8, 96x96", "depthwise 3x3/2 16, 48x48", "average pool2d 3x3x256", "softmax 2"]),
        ("ic", ["conv 3x3 16->16, 32x32", "add 32x32x16"]),
    ],
)  # fmt: skip
def test_layers_are_called_by_their_size(network: str, expected: list[str]) -> None:
    graph = NETWORKS[network]()
    found = {describe(graph, node) for node in graph.nodes}
    assert set(expected) <= found


def test_rows_and_their_peers() -> None:
    graph = NETWORKS["ad"]()
    official = measured("official", "a", metric={"name": "top-1", "float": 1.0, "integer": 0.9})
    rows = [compared(each, graph, PEERS) for each in (official, measured("ad", "a"), measured("other", "b"))]
    rows.sort(key=lambda row: place(row, PEERS))
    assert [row["model"] for row in rows] == ["other", "ad", "official"]
    assert rows[1]["layers"][0]["peer_per_mac"] == 2.0
    assert rows[0]["peers"] == []
    text = tables(rows, PEERS)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    assert ["Sounds (ad)", "a", "100!", "0.00", "99", "small", "200", "0.50"] in cells
    assert ["Sounds (official, top-1 0.900)", "a", "100!", "0.00", "99", "small", "200", "0.50"] in cells
    assert ["other (other)", "b", "100", "0.00", "-", "-", "-", "-"] in cells
    assert ["ad", "a", "5", "10", "0.50", "1", "2", "3", "30", "0.10"] in cells
    assert ["fully connected 640->128", "other, ad, official", "81,920", "1.00", "1.00", "2.00", "0.50"] in cells
    assert np.unique([len(line) for line in text.splitlines() if line.startswith("| fully")]).size == 1


def test_ram_is_shown_in_its_parts_where_the_unstreamed_program_was_measured() -> None:
    graph = NETWORKS["ad"]()
    other = measured("ad", "a/unstreamed", ram={"total": 8}, instructions=99)
    rows = [compared(measured("ad", "a"), graph, PEERS, other), compared(measured("other", "b"), graph, PEERS)]
    lines = tables(rows, PEERS).splitlines()
    heading = next(index for index, line in enumerate(lines) if "working memory |" in line)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[heading:]]
    assert cells[0][2:10] == ["arena", "working memory", "stack", "data", "RAM", "to hold", "best peer's", "ratio"]
    assert cells[2] == ["ad", "a", "3", "1", "2", "0", "5!", "4", "10", "0.50", "8", "0.62", "100", "99", "1.010"]
    assert cells[3] == [""]


@pytest.mark.parametrize("with_ram", [False, True])
def test_the_picture_has_a_panel_for_ram_where_a_peer_tells_its_own(with_ram: bool, tmp_path: Path) -> None:
    rows = [compared(measured("ad", "a" if with_ram else "b"), NETWORKS["ad"](), PEERS)]
    draw(rows, tmp_path / "one.svg")
    text = (tmp_path / "one.svg").read_text()
    assert ("RAM of the best peer = 1" in text) == with_ram
    assert "instructions of the best peer = 1" in text
    draw(rows, tmp_path / "two.svg")
    assert text == (tmp_path / "two.svg").read_text()
