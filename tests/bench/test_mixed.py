"""The page on bits by layer: how it is made."""

from pathlib import Path

import pytest

from benchmarks import mixed
from benchmarks.mixed import SIZES, UNIFORM, Row, page


def test_the_largest_come_first() -> None:
    rows = [Row(None, (3, 3), 300, 0.9), Row(250, (2, 4), 240, 0.95), Row(None, (8, 8), 800, 0.99)]
    lines = [line for line in page(rows, 0.995).splitlines() if line.startswith("|")][2:]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert found == [
        ["8 bits", "8 8", "800", "0.9900"],
        ["3 bits", "3 3", "300", "0.9000"],
        ["`size=250`", "2 4", "240", "0.9500"],
    ]


def test_all_widths_and_sizes_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On one float network."""
    monkeypatch.setattr(mixed, "trained", lambda folder: None)
    monkeypatch.setattr(mixed, "row", lambda folder, bits=8, size=None: Row(size, (bits,), size or bits, 0.5))
    monkeypatch.setattr(mixed, "metric", lambda folder: {"float": 0.75})
    monkeypatch.setattr("sys.argv", ["mixed", f"--folder={tmp_path}", f"--page={tmp_path / 'mixed.md'}"])
    mixed.main()
    text = (tmp_path / "mixed.md").read_text()
    assert "the float network has 0.7500" in text
    assert sum(line.startswith("| `size=") for line in text.splitlines()) == len(SIZES)
    assert sum(" bits " in line for line in text.splitlines() if line[:3].strip("| ").isdigit()) == len(UNIFORM)
