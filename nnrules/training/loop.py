"""The training loop: repeatable for given seed and threads, and resumable after a kill with the same result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.training.checkpoint import load_checkpoint, save_checkpoint
from nnrules.training.optimizers import learning_rate_at, make_optimizer
from nnrules.training.progress import Progress
from nnrules.training.task import Dataset, VaryingDataset

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer


def prepare(seed: int, threads: int) -> None:
    """Make torch repeatable; call it before the network is constructed, for its initial weights."""
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def fit(
    network: nn.Module, dataset: Dataset, recipe: Recipe, epochs: int, checkpoints: Path, title: str
) -> list[float]:
    """Train `network` in place and return the mean loss of each epoch.

    After each epoch a checkpoint is left in `checkpoints`; one found there is resumed from. Raises UserError when the
    loss is no longer a number.
    """
    optimizer = make_optimizer(recipe.optimizer, network, recipe.learning_rate, recipe.weight_decay)
    progress = load_checkpoint(checkpoints, network, optimizer) or {"losses": []}
    losses: list[float] = progress["losses"]
    batches = math.ceil(len(dataset) / recipe.batch_size)
    with Progress(title, epochs, batches, len(losses)) as bar:
        if losses:
            bar.resumed()
        for epoch in range(len(losses), epochs):
            if isinstance(dataset, VaryingDataset):
                dataset.set_epoch(epoch)
            losses.append(_epoch(network, dataset, recipe, optimizer, (epoch, epochs), bar, title))
            bar.epoch(losses[-1])
            save_checkpoint(checkpoints, network, optimizer, {"losses": losses})
    network.eval()
    return losses


def _epoch(
    network: Any,
    dataset: Dataset,
    recipe: Recipe,
    optimizer: Optimizer,
    position: tuple[int, int],
    bar: Progress,
    title: str,
) -> float:
    """One pass over the dataset, `position` of how many; everything random in it follows from seed and epoch."""
    import torch

    epoch, epochs = position
    torch.manual_seed(recipe.seed * 100_003 + epoch)
    network.train()
    order = _order(dataset, recipe, epoch)
    steps, warmup = epochs * len(order), round(recipe.warmup_epochs * len(order))
    total = 0.0
    for batch, (inputs, targets) in enumerate(_batches(dataset, order, recipe.workers)):
        rate = learning_rate_at(epoch * len(order) + batch, steps, warmup, recipe.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        outputs = network(*inputs) if isinstance(inputs, list) else network(inputs)
        loss = network.loss(outputs, targets)
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
