"""The page on stripes that are skipped: how it is made, and what it shows."""

from pathlib import Path

import pytest

from benchmarks import stripes
from benchmarks.stripes import LAYERS, REMOVED, Best, Layer, page, row
from tests.needs import need_target

PAGE = Path(stripes.__file__).parents[1] / "docs/stripes.md"


def table(text: str) -> list[list[str]]:
    """The lines below the heading, by cells."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_the_page_is_made(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a layer that Winograd's kernel can run, and of one that it cannot."""
    need_target("cortex-m7")
    monkeypatch.setattr(stripes, "REMOVED", (0.9,))
    text = page("cortex-m7", [Layer(6, 8, 8), Layer(6, 8, 8, 2)])
    (first, second), columns = table(text), capsys.readouterr().out.splitlines()
    assert [first[0], second[0]] == ["8->8, 6x6", "8->8/2, 6x6"]
    assert columns == ["; ".join(first), "; ".join(second)]
    assert "" not in first
    assert [second[3], second[6]] == ["", ""]
    assert "QEMU's cortex-m7" in text


def test_what_reaches_the_goal_is_bold() -> None:
    best = {"direct": Best("a", 1000, 900), "Winograd": Best("b", 649, 1600), "stripes": Best("c", 650, 450)}
    assert row(LAYERS[0], 0.5, best)[2:] == ["1,000, 900 B", "649, 1,600 B", "650, 450 B", "**35%**", "0%"]
    assert row(LAYERS[0], 0.51, best)[5] == "35%"


def test_the_goal_holds_against_direct_kernels() -> None:
    """In the page as it is; Winograd's are beaten so where nine of ten stripes are removed."""
    found = table(PAGE.read_text())
    assert [(each[0], each[1]) for each in found] == [
        (layer.name, f"{removed:.0%}") for layer in LAYERS for removed in REMOVED
    ]
    for _, removed, *_, direct, winograd in found:
        assert direct.startswith("**"), removed
        assert winograd.startswith("**") == (removed == "90%" and winograd != "")
