"""How fast each optimizer learns: epochs until the network of models/mnist reaches a training loss, and an accuracy.

    python -m benchmarks.optimizers [--folder build/optimizers]

Every optimizer has the learning rate of its grid with which the loss falls fastest for the first seed: whose mean over
the epochs is lowest. Takes about ten minutes of one core; each finished run is kept in a folder for this task, so a
run that was cut goes on. Writes docs/optimizers.md and docs/optimizers.svg.
"""

import argparse
import hashlib
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnrules.catalog.markdown import markdown
from nnrules.catalog.stages import TrainOptions
from nnrules.stages.references import load_reference
from nnrules.training.loop import fit
from nnrules.training.repeatable import prepare

TOP = Path(__file__).resolve().parents[1]
EPOCHS, BATCH, SEEDS = 8, 64, (1, 2, 3)
LOSSES, ACCURACIES = (1.0, 0.7, 0.5), (0.7, 0.8, 0.85)  # that are to be reached
RATES = {"pid": (0.006, 0.02, 0.06, 0.2), "sgd": (0.03, 0.1, 0.3, 1.0), "adamw": (0.003, 0.01, 0.03, 0.1)}
TICKS = (0.3, 0.5, 0.7, 1.0, 2.0)  # of the losses in the picture
DECAY = {"pid": 0.0005, "sgd": 0.0005, "adamw": 0.01}  # adamw's is apart from the gradient
NAMES = {"pid": "PID", "sgd": "SGD", "adamw": "AdamW"}
PAGE = """# Optimizers

PID beside SGD with Nesterov's momentum and AdamW: the network of `models/mnist` on its spoilt digits, {epochs} epochs
in batches of {batch}, cosine schedule after one epoch of warming up, {seeds} seeds. PID has `k_i={k_i:g}` and
`k_d={k_d:g}`; PID and SGD have a momentum of {momentum:g} and a weight decay of {decay:g} within the gradient, AdamW
one of {adamw:g} apart from it. The learning rate of each is the one of its grid with the lowest mean of the epochs'
losses for the first seed. Made by `python -m benchmarks.optimizers`.

Epochs until the mean training loss of an epoch is at most so much, and until the accuracy on the held-out pictures is
at least so much: mean over the seeds, in brackets the least and the most; *never*: not by all seeds.

{reached}

The end, mean and standard deviation over the seeds:

{ends}

What the grids gave for the first seed, learning rate, mean of the training losses and the last one; {edges}

{grids}

![training loss by epoch, a line for each optimizer, and its seeds](optimizers.svg)
"""

Curve = dict[str, list[float]]  # "loss" and "accuracy" after each epoch


class Pictures:
    """The training split, spoilt anew in each epoch, as arrays that all runs share; a file for each epoch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digits = load_reference(f"{TOP / 'models/mnist/dataset.py'}:HardDigits")("train")
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Items from now on belong to this epoch."""
        path = self._folder / f"pictures-{epoch}.npy"
        if not path.is_file():
            self._digits.set_epoch(epoch)
            pictures = np.stack([self._digits[index][0] for index in range(len(self))])
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".npy", delete=False) as file:
                np.save(file, np.rint(pictures * 255).astype(np.uint8))
            Path(file.name).replace(path)
        self._pictures = np.load(path)

    def __len__(self) -> int:
        return len(self._digits)

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        return self._pictures[index].astype(np.float32) / 255, self._digits.labels[index]


def main() -> None:
    """Train what is not there yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=TOP / "build/optimizers", help="where finished runs are kept")
    parser.add_argument("--page", type=Path, default=TOP / "docs/optimizers.md", help="what is written")
    given = parser.parse_args()
    task = hashlib.sha256(b"".join((TOP / "models/mnist" / name).read_bytes() for name in ("dataset.py", "network.py")))
    folder: Path = given.folder / task.hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)
    grids = {name: {rate: curve(folder, name, rate, SEEDS[0]) for rate in RATES[name]} for name in NAMES}
    best = {name: min(grid, key=lambda rate: sum(grid[rate]["loss"])) for name, grid in grids.items()}
    curves = {name: [curve(folder, name, best[name], seed) for seed in SEEDS] for name in NAMES}
    given.page.write_text(page(grids, best, curves), encoding="utf-8")
    draw(curves, best, given.page.with_suffix(".svg"))


def curve(folder: Path, optimizer: str, rate: float, seed: int) -> Curve:
    """A run's, trained unless the folder has it."""
    file = folder / f"{optimizer}-{rate:g}-{seed}.json"
    if not file.is_file():
        found = json.dumps(trained(folder, optimizer, rate, seed))
        file.with_suffix(".new").write_text(found, encoding="utf-8")
        file.with_suffix(".new").replace(file)
    read: Curve = json.loads(file.read_text(encoding="utf-8"))
    return read


def trained(folder: Path, optimizer: str, rate: float, seed: int) -> Curve:
    """Train a network, which is measured after each epoch."""
    held_out = load_reference(f"{TOP / 'models/mnist/dataset.py'}:HardDigits")("test")
    path = folder / "held-out.npy"
    if not path.is_file():
        np.save(path, np.stack([held_out[index][0] for index in range(len(held_out))]))
    pictures, accuracies = np.load(path), list[float]()
    prepare(seed, 1)
    network = load_reference(f"{TOP / 'models/mnist/network.py'}:ResNet")()

    def measure(done: int, network: Any) -> None:
        accuracies.append(held_out.metric([logits(network, pictures)]))

    recipe = options(optimizer, rate, seed)
    with tempfile.TemporaryDirectory() as checkpoints:
        title = f"{optimizer} {rate:g} seed {seed}"
        losses = fit(network, Pictures(folder), recipe, EPOCHS, Path(checkpoints), title, after_epoch=measure)
    return {"loss": losses, "accuracy": accuracies}


def options(optimizer: str, rate: float, seed: int) -> TrainOptions:
    """Of a run."""
    decay = DECAY[optimizer]
    return TrainOptions(
        optimizer=optimizer, learning_rate=rate, weight_decay=decay, batch_size=BATCH, epochs=EPOCHS, seed=seed,
        workers=0,
    )  # fmt: skip


def logits(network: Any, pictures: np.ndarray) -> np.ndarray:
    """(N, 10)."""
    import torch

    network.eval()
    with torch.no_grad():
        return np.concatenate([network(torch.from_numpy(part)).numpy() for part in np.array_split(pictures, 16)])


def page(
    grids: Mapping[str, Mapping[float, Curve]], best: Mapping[str, float], curves: Mapping[str, Sequence[Curve]]
) -> str:
    """Markdown."""
    goals = [("loss", goal) for goal in LOSSES] + [("accuracy", goal) for goal in ACCURACIES]
    heading = ["optimizer", "learning rate", *(f"{name} {goal:g}" for name, goal in goals)]
    lines = [
        [NAMES[name], f"{best[name]:g}", *(told([epochs_to(each, *goal) for each in curves[name]]) for goal in goals)]
        for name in NAMES
    ]
    ends = [[NAMES[name], *(end(curves[name], what) for what in ("loss", "accuracy"))] for name in NAMES]
    found = [
        f"- {NAMES[name]}: " + ", ".join(f"{rate:g}: {told_grid(each)}" for rate, each in grids[name].items())
        for name in NAMES
    ]
    recipe = options("pid", 1.0, 1)
    edges = [NAMES[name] for name in NAMES if best[name] in (RATES[name][0], RATES[name][-1])]
    return PAGE.format(
        epochs=EPOCHS,
        batch=BATCH,
        seeds=len(SEEDS),
        k_i=recipe.k_i,
        k_d=recipe.k_d,
        momentum=recipe.momentum,
        decay=DECAY["pid"],
        adamw=DECAY["adamw"],
        reached=markdown(heading, lines, left=(0,)),
        ends=markdown(["optimizer", "training loss", "accuracy"], ends, left=(0,)),
        edges=f"{' and '.join(edges)} would take a wider one:" if edges else "none was best at an edge:",
        grids="\n".join(found),
    )


def told_grid(curve: Curve) -> str:
    """Of a run: how fast its loss falls, and how far."""
    return f"{statistics.fmean(curve['loss']):.3f} ({curve['loss'][-1]:.3f})"


def epochs_to(curve: Curve, what: str, goal: float) -> int | None:
    """The first epoch, counted from 1, at which the goal is reached."""
    reached = [each <= goal if what == "loss" else each >= goal for each in curve[what]]
    return reached.index(True) + 1 if any(reached) else None


def told(epochs: Sequence[int | None]) -> str:
    """Of all seeds."""
    known = [each for each in epochs if each is not None]
    if len(known) < len(epochs):
        return "never"
    return f"{statistics.fmean(known):.1f} ({min(known)}-{max(known)})"


def end(curves: Sequence[Curve], what: str) -> str:
    """After the last epoch."""
    last = [each[what][-1] for each in curves]
    return f"{statistics.fmean(last):.4f} ± {statistics.stdev(last):.4f}"


def draw(curves: Mapping[str, Sequence[Curve]], best: Mapping[str, float], path: Path) -> None:
    """The training loss, and the accuracy, by epoch: the mean over the seeds, and each of them thin."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasSVG(figure)
    panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), ("training loss", "accuracy, held-out"), strict=True)
    epochs = range(1, EPOCHS + 1)
    for axes, what, label in panels:
        for number, name in enumerate(NAMES):
            for each in curves[name]:
                axes.plot(epochs, each[what], color=f"C{number}", linewidth=0.5)
            mean = np.mean([each[what] for each in curves[name]], axis=0)
            axes.plot(epochs, mean, color=f"C{number}", linewidth=2, label=f"{NAMES[name]}, {best[name]:g}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    figure.axes[0].set_yscale("log")
    figure.axes[0].set_yticks(TICKS, [f"{each:g}" for each in TICKS])
    figure.axes[0].minorticks_off()
    figure.axes[0].legend()
    with rc_context({"svg.hashsalt": "nnrules", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
