"""The training loop: repeatable for given seed and threads, and resumable after a kill with the same result."""

from __future__ import annotations

import math
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
    from torch.utils.data import DataLoader


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
        for epoch in range(len(losses), recipe.epochs):
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
    loader = _loader(dataset, recipe, epoch)
    total = 0.0
    for batch, (inputs, targets) in enumerate(loader):
        rate = learning_rate_at(
            epoch * len(loader) + batch,
            recipe.epochs * len(loader),
            round(recipe.warmup_epochs * len(loader)),
            recipe.learning_rate,
        )
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
    return total / len(loader)


def _step(network: nn.Module, optimizer: Optimizer, loss: Tensor, clip: float) -> None:
    import torch

    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    if clip > 0:
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
    optimizer.step()


def _loader(dataset: Dataset, recipe: Recipe, epoch: int) -> DataLoader[Any]:
    """Batches of the epoch in an order of its own; the last one may be smaller."""
    from torch.utils.data import DataLoader

    if isinstance(dataset, VaryingDataset):
        dataset.set_epoch(epoch)
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(dataset)).tolist()
    batches = [order[start : start + recipe.batch_size] for start in range(0, len(order), recipe.batch_size)]
    return DataLoader(dataset, batch_sampler=batches, num_workers=recipe.workers)  # type: ignore[arg-type]
