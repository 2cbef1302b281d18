"""The curve of RAM against the size of the input: what is recorded grows with the width, not with the area."""

import json
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.sizes import FOLDER, NETWORKS, RUN, SIDES, Size, draw, sized, sizes, table, table_bytes
from benchmarks.whole import planned
from nnrules.codegen.model import ModelCode
from nnrules.plan.planner import UNSTREAMED

AREA = (SIDES[-1] / SIDES[0]) / 2  # half of what the area grows by where one side grows
RAN = {"model": "facedet", "height": 8, "width": 9, "instructions": 1000, "arena": 70, "stack": 20, "data": 4}


def recorded() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "sizes.json").read_text()))


def size(model: str = "m", height: int = 96, width: int = 96, **figures: Any) -> Size:
    known = {"streamed": 1000, "whole": 4000, "streamed_instructions": 101, "whole_instructions": 100}
    return Size(model=model, height=height, width=width, **{**known, "schedule": 20, "peak": "conv", **figures})


def test_a_larger_input_has_the_same_layers() -> None:
    graph, sample = sized("facedet", 32, 64)
    assert sample.shape == (32, 64, 1)
    assert [graph.tensors[name].shape for name in graph.outputs] == [(4, 8, 5)]
    plan = planned(graph, "cortex-m7")
    assert plan.arena_bytes < planned(graph, "cortex-m7", ram=UNSTREAMED).arena_bytes
    rows = ModelCode(graph, plan).rows
    assert rows is not None
    entries = [entry for line in rows.lines for entry in line.entries.split(",") if entry.strip()]
    assert table_bytes(graph, plan) == len(entries) + len(rows.starts)


def test_the_table() -> None:
    text = table([size(height=160, width=240, streamed=12_345)], RAN)
    assert text.splitlines()[2] == "| m | 160x240 | 12,345 | 4,000 | 3.086 | +1.0 % | 20 |"
    assert text.splitlines()[-1] == (
        "facedet on 8x9 was built and run under QEMU: arena 70 bytes as planned, stack 20, other variables 4, "
        "1,000 instructions."
    )


def test_the_picture(tmp_path: Any) -> None:
    rows = [size(height=side) for side in SIDES] + [size(width=side) for side in SIDES[1:]] + [size(height=7, width=8)]
    draw(rows, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    ElementTree.fromstring(text)
    assert "height of the input (width 96)" in text
    draw(rows, tmp_path / "b.svg")
    assert (tmp_path / "b.svg").read_text() == text


def test_what_is_recorded_was_run_as_planned() -> None:
    record = recorded()
    rows = {(row["model"], row["height"], row["width"]): row for row in record["rows"]}
    assert set(rows) == {(model, *each) for model in NETWORKS for each in sizes(model)}
    ran = record["run"]
    assert (ran["model"], ran["height"], ran["width"]) == RUN
    assert ran["arena"] == rows[RUN]["streamed"]


@pytest.mark.parametrize("model", NETWORKS)
def test_ram_grows_with_the_width_and_hardly_with_the_height(model: str) -> None:
    rows = {(row["height"], row["width"]): row for row in recorded()["rows"] if row["model"] == model}
    low, high, wide = rows[SIDES[0], SIDES[0]], rows[SIDES[-1], SIDES[0]], rows[SIDES[0], SIDES[-1]]
    assert high["whole"] > 3 * low["whole"]
    assert high["streamed"] < AREA * low["streamed"]
    assert wide["streamed"] < 1.25 * SIDES[-1] / SIDES[0] * low["streamed"]
    sensors = {area: row["streamed"] / row["whole"] for area, row in rows.items() if min(area) > SIDES[0]}
    assert all(share < 0.2 for share in sensors.values())
