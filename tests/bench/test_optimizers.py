"""The page on optimizers: how it is made."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import optimizers
from benchmarks.optimizers import EPOCHS, NAMES, RATES, SEEDS, Curve, curve, epochs_to, logits, page, told


def falling(rate: float) -> Curve:
    """The faster, the nearer to 0.02 the rate is."""
    steps = np.arange(1, EPOCHS + 1) / (1 + abs(np.log(rate / 0.02)))
    return {"loss": list(2 * np.exp(-steps)), "accuracy": list(1 - np.exp(-steps))}


def test_epochs_to_a_goal() -> None:
    found: Curve = {"loss": [2.0, 1.0, 0.4, 0.6], "accuracy": [0.1, 0.5, 0.9, 0.8]}
    assert epochs_to(found, "loss", 1.0) == 2
    assert epochs_to(found, "accuracy", 0.8) == 3
    assert epochs_to(found, "loss", 0.3) is None
    assert told([2, 3, 4]) == "3.0 (2-4)"
    assert told([2, None]) == "never"


def test_a_run_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, float, int]] = []

    def trained(folder: Path, optimizer: str, rate: float, seed: int) -> Curve:
        made.append((optimizer, rate, seed))
        return falling(rate)

    monkeypatch.setattr(optimizers, "trained", trained)
    assert curve(tmp_path, "pid", 0.02, 1) == curve(tmp_path, "pid", 0.02, 1) == falling(0.02)
    assert made == [("pid", 0.02, 1)]
    assert [each.name for each in tmp_path.iterdir()] == ["pid-0.02-1.json"]
    made.clear()
    monkeypatch.setattr("sys.argv", ["optimizers", f"--folder={tmp_path}", f"--page={tmp_path / 'optimizers.md'}"])
    optimizers.main()
    assert len(made) == len(set(made)) == sum(map(len, RATES.values())) + len(NAMES) * (len(SEEDS) - 1)
    best = {name: min(rates, key=lambda rate: sum(falling(rate)["loss"])) for name, rates in RATES.items()}
    text = (tmp_path / "optimizers.md").read_text()
    for name, rate in best.items():
        assert any(line.startswith(f"| {NAMES[name]} ") and f" {rate:g} |" in line for line in text.splitlines())
    assert (tmp_path / "optimizers.svg").read_text().count("<svg") == 1


def test_a_rate_at_the_edge_is_told() -> None:
    grids = {name: {rate: falling(rate) for rate in rates} for name, rates in RATES.items()}
    curves = {name: [falling(0.02)] * len(SEEDS) for name in NAMES}
    inner = {name: rates[1] for name, rates in RATES.items()}
    assert "none was best at an edge" in page(grids, inner, curves)
    assert "SGD would take a wider one" in page(grids, {**inner, "sgd": RATES["sgd"][-1]}, curves)


def test_pictures_are_in_their_order() -> None:
    """Cut into parts and joined."""
    torch = pytest.importorskip("torch")
    network = torch.nn.Flatten()
    pictures = np.arange(40, dtype=np.float32).reshape(20, 1, 1, 2)
    assert np.array_equal(logits(network, pictures), pictures.reshape(20, 2))
