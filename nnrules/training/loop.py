"""The training loop: repeatable for given seed and threads, and resumable after a kill with the same result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnrules.catalog.stages import PruneOptions, TrainOptions
from nnrules.error import UserError
from nnrules.training.checkpoint import load_checkpoint, save_checkpoint
from nnrules.training.optimizers import learning_rate_at, make_optimizer
from nnrules.training.progress import Progress
from nnrules.training.task import Dataset, VaryingDataset

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class Recipe:
    """How to train. `gradient_clip`: largest L2 norm of all gradients together, 0: none; `workers`: processes that
    prepare batches, 0: none."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    warmup_epochs: float = 1.0
    gradient_clip: float = 5.0
    seed: int = 1
    threads: int = 2
    workers: int = 1

    def __post_init__(self) -> None:
        """Raises UserError naming the first option that is out of range."""
        for name, least in {"epochs": 0, "batch_size": 1, "seed": 0, "threads": 1, "workers": 0}.items():
            if getattr(self, name) < least:
                raise UserError(f"option {name}={getattr(self, name)}", "is out of range", f"choose {least} or more")
        if not self.learning_rate > 0:
            raise UserError(f"option learning_rate={self.learning_rate:g}", "is out of range", "choose more than 0")

    @classmethod
    def of(cls, options: TrainOptions | PruneOptions, epochs: int) -> Recipe:
        """The recipe a stage's options describe."""
        shared = {field.name: getattr(options, field.name) for field in fields(cls) if field.name != "epochs"}
        return cls(epochs=epochs, **shared)


def prepare(seed: int, threads: int) -> None:
    """Make torch repeatable; call it before the network is constructed, for its initial weights."""
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def fit(network: nn.Module, dataset: Dataset, recipe: Recipe, checkpoints: Path, title: str) -> list[float]:
    """Train `network` in place and return the mean loss of each epoch.

    After each epoch a checkpoint is left in `checkpoints`; one found there is resumed from. Raises UserError when the
    loss is no longer a number.
    """
    optimizer = make_optimizer(recipe.optimizer, network, recipe.learning_rate, recipe.weight_decay)
    progress = load_checkpoint(checkpoints, network, optimizer) or {"losses": []}
    losses: list[float] = progress["losses"]
    batches = math.ceil(len(dataset) / recipe.batch_size)
    with Progress(title, recipe.epochs, batches, len(losses)) as bar:
        if losses:
            bar.resumed()
        for epoch in range(len(losses), recipe.epochs):
            if isinstance(dataset, VaryingDataset):
                dataset.set_epoch(epoch)
            losses.append(_epoch(network, dataset, recipe, optimizer, epoch, bar, title))
            bar.epoch(losses[-1])
            save_checkpoint(checkpoints, network, optimizer, {"losses": losses})
    network.eval()
    return losses


def _epoch(
    network: Any, dataset: Dataset, recipe: Recipe, optimizer: Optimizer, epoch: int, bar: Progress, title: str
) -> float:
    """One pass over the dataset; everything random in it follows from seed and epoch."""
    import torch

    torch.manual_seed(recipe.seed * 100_003 + epoch)
    network.train()
    order = _order(dataset, recipe, epoch)
    steps, warmup = recipe.epochs * len(order), round(recipe.warmup_epochs * len(order))
    total = 0.0
    for batch, (inputs, targets) in enumerate(_batches(dataset, order, recipe.workers)):
        rate = learning_rate_at(epoch * len(order) + batch, steps, warmup, recipe.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = network.loss(network(inputs), targets)
        _step(network, optimizer, loss, recipe.gradient_clip)
        value = loss.item()
        if not math.isfinite(value):
            cure = f"lower learning_rate (now {recipe.learning_rate:g}) or look for bad values in the dataset"
            raise UserError(f"{title}, epoch {epoch + 1}, batch {batch + 1}", f"the loss is {value}", cure)
        total += value
        bar.step(value)
    return total / len(order)


def _step(network: nn.Module, optimizer: Optimizer, loss: Tensor, clip: float) -> None:
    import torch

    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if clip > 0:
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()


def _order(dataset: Dataset, recipe: Recipe, epoch: int) -> list[list[int]]:
    """The epoch's batches of item numbers; the last one may be smaller."""
    shuffled = np.random.default_rng([recipe.seed, epoch]).permutation(len(dataset)).tolist()
    return [shuffled[start : start + recipe.batch_size] for start in range(0, len(shuffled), recipe.batch_size)]


def _batches(dataset: Dataset, order: list[list[int]], workers: int) -> Iterator[Any]:
    """Stacked (inputs, targets); what the dataset raises is raised in this process, with its traceback."""
    from torch.utils.data import DataLoader

    loader = iter(DataLoader(dataset, batch_sampler=order, num_workers=workers))  # type: ignore[arg-type]
    for indices in order:
        try:
            batch = next(loader)
        except Exception:
            for index in indices:
                dataset[index]
            raise
        yield batch
