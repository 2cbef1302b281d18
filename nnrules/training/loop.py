"""The training loop: repeatable for given seed and threads, and resumable after a kill with the same result.

Of every batch each process of a run (nnrules.training.ranks) takes its part; averaged, their gradients are those of the
whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.training.checkpoint import load_checkpoint, save_checkpoint
from nnrules.training.faults import explaining
from nnrules.training.objective import objective
from nnrules.training.optimizers import make_optimizer
from nnrules.training.progress import Progress
from nnrules.training.ranks import GOES_ON, alone, average_alike
from nnrules.training.repeatable import draw_from
from nnrules.training.schedules import learning_rate_at
from nnrules.training.task import Dataset, VaryingDataset
from nnrules.training.weights import refuse_not_finite

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import Tensor, nn


def fit(
    network: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    epochs: int,
    checkpoints: Path,
    title: str,
    fabric: Fabric | None = None,
    penalty: Callable[[], Tensor | float] | None = None,
    before_epoch: Callable[[int], None] | None = None,
    after_epoch: Callable[[int, nn.Module], None] | None = None,
    teacher: nn.Module | None = None,
    settled: int = 0,
) -> list[float]:
    """Train `network` in place and return the mean loss of each epoch.

    After each epoch a checkpoint is left in `checkpoints`; one found there is resumed from. ``penalty``: what the loss
    of each batch grows by; ``before_epoch``: is told the epoch that begins; ``after_epoch``: how many are done, with
    the network as it would be the result now; ``teacher``: see objective; ``settled``: the first epoch whose weights
    may be the result. Raises UserError when the loss is no longer a number, or memory is at its end.
    """
    run = _Run(network, dataset, recipe, checkpoints, title, fabric or alone(), penalty, teacher, settled)
    return run.fit(epochs, before_epoch, after_epoch)


class _Run:
    """`average`: a copy of the network that follows it slowly, None where the recipe asks for none."""

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        recipe: Recipe,
        checkpoints: Path,
        title: str,
        fabric: Fabric,
        penalty: Callable[[], Tensor | float] | None,
        teacher: nn.Module | None,
        settled: int,
    ) -> None:
        self.network, self.dataset, self.recipe, self.settled = network, dataset, recipe, settled
        self.checkpoints, self.title, self.fabric = checkpoints, title, fabric
        if teacher is not None:
            teacher.to(fabric.device).eval().requires_grad_(False)
        self.loss = objective(network, recipe, penalty, teacher)
        self.training, self.apart = _parts(len(dataset), recipe, title)
        with explaining(title, recipe):
            wrapped: Any = fabric.setup(network, make_optimizer(network, recipe))
        self.module, self.optimizer = wrapped
        if fabric.world_size > 1:
            average_alike(self.module)
        self.average: Any = _averaged(network, recipe.average) if recipe.average else None
        self.scaling: Any = fabric.strategy.precision
        self.states = {"network": network, **({"average": self.average} if self.average else {})}

    def fit(
        self,
        epochs: int,
        before_epoch: Callable[[int], None] | None,
        after_epoch: Callable[[int, nn.Module], None] | None,
    ) -> list[float]:
        """See fit."""
        found = load_checkpoint(self.checkpoints, self.states, self.optimizer, self.fabric.broadcast)
        progress: dict[str, Any] = found or {"losses": [], "apart": []}
        losses: list[float] = progress["losses"]
        if "scaling" in progress:
            self.scaling.load_state_dict(progress["scaling"])
        batches = math.ceil(len(self.training) / self.recipe.batch_size)
        with Progress(self.title, epochs, batches, len(losses), self.fabric.is_global_zero) as bar:
            if losses:
                bar.resumed()
            for epoch in range(len(losses), epochs):
                if self._is_enough(progress["apart"][self.settled :]):
                    bar.enough(self.recipe.patience)
                    break
                if isinstance(self.dataset, VaryingDataset):
                    self.dataset.set_epoch(epoch)
                if before_epoch:
                    before_epoch(epoch)
                losses.append(self._epoch(epoch, epochs, bar))
                self._require_finite(epoch)
                if self.apart:
                    progress["apart"].append(self._loss_apart(epoch))
                bar.epoch(losses[-1])
                self._save(progress)
                if after_epoch and self.fabric.is_global_zero:
                    after_epoch(len(losses), self.average or self.network)
        self._take_result(progress["apart"][self.settled :])
        return losses

    def _epoch(self, epoch: int, epochs: int, bar: Progress) -> float:
        """One pass over the items; everything random in it follows from seed and epoch. The mean loss of its
        batches."""
        recipe = self.recipe
        draw_from(recipe.seed * 100_003 + epoch)
        self.module.train()
        order = _order(self.training, recipe, epoch)
        steps, warmup = epochs * len(order), round(recipe.warmup_epochs * len(order))
        total = 0.0
        for batch, (share, inputs, targets) in enumerate(self._batches(order)):
            step = epoch * len(order) + batch
            rate = learning_rate_at(step, steps, warmup, recipe.learning_rate, recipe.schedule)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            value = self._step(share, inputs, targets)
            if not math.isfinite(value):
                place = f"{self.title}, epoch {epoch + 1}, batch {batch + 1}"
                raise UserError(place, f"the loss is {value}", self._cure())
            if self.average:
                self.average.update_parameters(self.network)
            total += value
            bar.step(value)
        return total / len(order)

    def _step(self, share: float, inputs: Any, targets: Any) -> float:
        """The loss of the whole batch; ``share``: what this process's part of it counts."""
        with explaining(self.title, self.recipe):
            outputs = self.module(*inputs) if isinstance(inputs, list) else self.module(inputs)
            loss = self.loss(inputs, outputs, targets) * share
            self.optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(loss)
            if self.recipe.gradient_clip > 0:
                clip = self.recipe.gradient_clip
                self.fabric.clip_gradients(self.module, self.optimizer, max_norm=clip, error_if_nonfinite=False)
            self.optimizer.step()
        if self.fabric.world_size == 1:
            return float(loss.item())
        reduced: Any = self.fabric.all_reduce(loss.detach(), reduce_op="mean")
        return float(reduced.item())

    def _batches(self, order: list[list[int]]) -> Iterator[tuple[float, Any, Any]]:
        """For each batch, what this process's part of it counts, its inputs and its targets; a process without a part
        takes the first item for nothing."""
        world, rank = self.fabric.world_size, self.fabric.global_rank
        parts = [batch[rank::world] or batch[:1] for batch in order]
        shares = [len(batch[rank::world]) * world / len(batch) for batch in order]
        for share, (inputs, targets) in zip(shares, self._loaded(parts), strict=True):
            with explaining(self.title, self.recipe):
                moved = self.fabric.to_device((inputs, targets))
            yield share, *moved

    def _loaded(self, order: list[list[int]]) -> Iterator[Any]:
        """Stacked (inputs, targets); what the dataset raises is raised in this process, with its traceback.

        Raises UserError where the items of a batch cannot be stacked."""
        from torch.utils.data import DataLoader

        loader = iter(DataLoader(self.dataset, batch_sampler=order, num_workers=self.recipe.workers))  # type: ignore[arg-type]
        for indices in order:
            try:
                batch = next(loader)
            except Exception as fault:
                items = [self.dataset[index] for index in indices]
                if str(fault).startswith("DataLoader worker"):
                    cure = f"build again, with fewer workers (now {self.recipe.workers}): {GOES_ON}"
                    raise UserError(self.title, "a process that prepares batches was killed", cure) from fault
                _require_alike(items, self.title)
                raise
            yield batch

    def _loss_apart(self, epoch: int) -> float:
        """Of the items that are kept apart, by the weights that would be the result now: those of the first process,
        which alone are kept. Items that vary are always those of the first epoch."""
        if isinstance(self.dataset, VaryingDataset):
            self.dataset.set_epoch(0)
        found = self._evaluated() if self.fabric.is_global_zero else 0.0
        told = float(self.fabric.broadcast(found))
        if not math.isfinite(told):
            fault = f"the loss on the items kept apart is {told}"
            raise UserError(f"{self.title}, epoch {epoch + 1}", fault, self._cure())
        return told

    def _evaluated(self) -> float:
        import torch

        network = self.average or self.network
        network.eval()
        size = self.recipe.batch_size
        parts = [self.apart[start : start + size] for start in range(0, len(self.apart), size)]
        total = 0.0
        with torch.no_grad(), explaining(self.title, self.recipe):
            for part, batch in zip(parts, self._loaded(parts), strict=True):
                inputs, targets = self.fabric.to_device(batch)
                outputs = network(*inputs) if isinstance(inputs, list) else network(inputs)
                total += float(self.loss(inputs, outputs, targets)) * len(part)
        return total / len(self.apart)

    def _is_enough(self, apart: Sequence[float]) -> bool:
        """Whether the loss on the items apart has not fallen for `patience` epochs."""
        patience = self.recipe.patience
        return 0 < patience < len(apart) and min(apart[-patience:]) >= min(apart[:-patience])

    def _save(self, progress: dict[str, Any]) -> None:
        """A checkpoint, and apart from it the state if it is the best so far; of fp16 also how the loss is scaled."""
        if scaling := self.scaling.state_dict():
            progress["scaling"] = scaling
        if self.fabric.is_global_zero:
            apart = progress["apart"][self.settled :]
            if apart and apart[-1] == min(apart):
                save_checkpoint(self.checkpoints / "best", self.states, None, {})
            save_checkpoint(self.checkpoints, self.states, self.optimizer, progress)
        self.fabric.barrier()

    def _take_result(self, apart: Sequence[float]) -> None:
        """Leave in the network what the recipe says is the result, ready for inference."""
        if apart:
            load_checkpoint(self.checkpoints / "best", self.states, None, self.fabric.broadcast)
        if self.average:
            self.network.load_state_dict(self.average.module.state_dict())
        if self.fabric.world_size > 1:  # each has statistics of its own part
            self.network.load_state_dict(self.fabric.broadcast(self.network.state_dict()))
        self.network.to("cpu")
        self.network.eval()

    def _require_finite(self, epoch: int) -> None:
        """Raises UserError where the last step of an epoch spoilt the weights, whose checkpoint is not to replace the
        one before."""
        for network in self.states.values():
            refuse_not_finite(network.state_dict(), f"{self.title}, epoch {epoch + 1}", self._cure())

    def _cure(self) -> str:
        """Of values that are not finite."""
        return f"lower learning_rate (now {self.recipe.learning_rate:g}) or look for bad values in the dataset"


def _require_alike(items: list[Any], place: str) -> None:
    """Raises UserError where items cannot be stacked."""
    from torch.utils.data import default_collate

    try:
        default_collate(items)
    except (RuntimeError, TypeError, KeyError) as fault:
        told = str(fault).splitlines()[0]
        raise UserError(place, f"its items cannot be stacked: {told}", "give all of them one shape and type") from fault


def _averaged(network: nn.Module, keep: float) -> Any:
    """A copy that keeps so much of itself at each step (Polyak and Juditsky, 1992)."""
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    follow = get_ema_multi_avg_fn(keep)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)


def _parts(count: int, recipe: Recipe, place: str) -> tuple[list[int], list[int]]:
    """The items to train on and those that are kept apart. Raises UserError where there would be none of either."""
    aside = round(count * recipe.validation)
    if recipe.validation and aside in (0, count):
        fault = f"validation={recipe.validation:g} keeps {'all' if aside else 'none'} of {count} items apart"
        raise UserError(place, fault, "lower it" if aside else "raise it")
    if not aside:
        return list(range(count)), []
    shuffled = np.random.default_rng([recipe.seed, 2**32 - 1]).permutation(count).tolist()
    return sorted(shuffled[aside:]), sorted(shuffled[:aside])


def _order(items: Sequence[int], recipe: Recipe, epoch: int) -> list[list[int]]:
    """The epoch's batches of item numbers; the last one may be smaller."""
    shuffled = [items[i] for i in np.random.default_rng([recipe.seed, epoch]).permutation(len(items)).tolist()]
    return [shuffled[start : start + recipe.batch_size] for start in range(0, len(shuffled), recipe.batch_size)]
