"""The processes that train one network together, by Lightning Fabric: devices, precision, and what one of them tells.

Who starts them is the recipe's `launcher`, see nnrules.training.launchers.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Protocol

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

GOES_ON = "it goes on after the last whole epoch"
AGAIN = f"build again: {GOES_ON}"
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
for _chatty in ("distributed", "rank_zero"):
    logging.getLogger(f"lightning_fabric.utilities.{_chatty}").setLevel(logging.WARNING)
_PATIENCE = 10.0  # seconds in which the end of another process becomes known to who started them all


class Given(Protocol):
    """What a training function gets; it is pickled for each process."""

    @property
    def checkpoints(self) -> Path:
        """A folder of the run's own, which all its processes see."""

    def blamed(self, fault: Exception) -> UserError | None:
        """The user's mistake that an exception comes from, if it is one."""


class Job(NamedTuple):
    """What each process does: call the function `name` of `module` with Fabric and `given`. `place`: of its errors."""

    module: str
    name: str
    given: Given
    recipe: Recipe
    place: str

    @classmethod
    def of(cls, function: Callable[[Fabric, Any], None], given: Given, recipe: Recipe, place: str) -> Job:
        """``function``: of a module, which may be the one that Python was started with."""
        spec = importlib.import_module(function.__module__).__spec__
        return cls(spec.name if spec else function.__module__, function.__name__, given, recipe, place)

    @property
    def folder(self) -> Path:
        """Where the processes leave what went wrong."""
        return self.given.checkpoints / "ranks"

    def start(self, fabric: Fabric) -> None:
        """Find the other processes, then run. Raises UserError where they cannot be reached."""
        from torch import distributed

        try:
            fabric.launch(self.run)
        except distributed.DistError as fault:
            told = f"process {fabric.global_rank} cannot reach the others: {str(fault).splitlines()[0]}"
            raise self.tell(UserError(self.place, told, AGAIN), fabric.global_rank) from fault

    def run(self, fabric: Fabric) -> None:
        """In one process: what the function raises is raised, and told in `folder` if it is the user's mistake."""
        try:
            getattr(importlib.import_module(self.module), self.name)(fabric, self.given)
        except Exception as fault:
            told = self._told(fault, fabric)
            if told is None:
                raise
            raise self.tell(told, fabric.global_rank) from fault

    def tell(self, told: UserError, rank: int) -> UserError:
        """Leave a mistake of a process in `folder`."""
        fields = json.dumps([told.place, told.fault, told.cure])
        (self.folder / f"{rank}.json").write_text(fields, encoding="utf-8")
        return told

    def _told(self, fault: Exception, fabric: Fabric) -> UserError | None:
        """Who lost another process waits to be ended, so that it is the other one's end that is told."""
        if isinstance(fault, UserError):
            return fault
        if _is_lost(fault):
            time.sleep(_PATIENCE)
            return UserError(self.place, f"process {fabric.global_rank} lost the others", AGAIN)
        return self.given.blamed(fault)

    def raise_told(self) -> None:
        """Raise the first mistake that a process told, if there is one, sooner than that it lost the others."""
        paths = sorted(self.folder.glob("*.json"), key=lambda path: int(path.stem))
        told = [UserError(*json.loads(path.read_text(encoding="utf-8"))) for path in paths]
        for fault in sorted(told, key=lambda fault: fault.cure == AGAIN):
            raise fault

    def raise_ended(self, rank: int, cause: str) -> NoReturn:
        """A process was ended by ``cause`` and told nothing."""
        world = self.recipe.devices * self.recipe.nodes
        raise UserError(self.place, f"process {rank} of {world} ended with {cause}", AGAIN)


def _is_lost(fault: Exception) -> bool:
    """Whether an exception says that another process cannot be reached any more; gloo has none of its own for it."""
    from torch import distributed

    return isinstance(fault, distributed.DistError) or (isinstance(fault, RuntimeError) and "gloo" in str(fault))


def alone() -> Fabric:
    """One process on the CPU, in full precision."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment

    return Fabric(accelerator="cpu", devices=1, plugins=LightningEnvironment())


def make_fabric(recipe: Recipe) -> Fabric:
    """What connects a process to the others, which it finds by the variables of who started it."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.kubeflow import KubeflowEnvironment
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
    from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment

    kinds: dict[str, Any] = {
        "spawn": LightningEnvironment,
        "torchrun": TorchElasticEnvironment,
        "srun": SLURMEnvironment,
        "kubernetes": KubeflowEnvironment,
    }
    many, launcher = recipe.devices * recipe.nodes > 1, recipe.launcher
    precision: Any = PRECISIONS[recipe.precision]
    return Fabric(
        accelerator=_accelerator(),
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=_together(launcher) if many else "auto",
        precision=precision,
        plugins=kinds[launcher if many else "spawn"](),
    )


def _together(launcher: str) -> Any:
    """DDP, also for networks not all of whose parameters take part in the loss, or in what `forward` gives."""
    from lightning_fabric.strategies.ddp import DDPStrategy

    return DDPStrategy(start_method="spawn" if launcher == "spawn" else "popen", static_graph=True)


def average_alike(module: Any) -> None:
    """Have DDP average each parameter's gradient for itself: where it gathers them in buckets, which it arranges anew
    after its first batch, a sum of three and more is rounded as the bucket lies, and otherwise after a kill."""
    module._forward_module.register_comm_hook(None, lambda _, bucket: _average_each(bucket))


def _average_each(bucket: Any) -> Any:
    """A communication hook of DDP, whose types it would not know as they are written here."""
    from torch import distributed

    world = distributed.get_world_size()
    works: list[Any] = [distributed.all_reduce(each.div_(world), async_op=True) for each in bucket.gradients()]
    for each in works:
        each.wait()
    return works[-1].get_future().then(lambda _: bucket.buffer())


def require_devices(recipe: Recipe, place: str) -> None:
    """Raises UserError where the machine has not what the recipe asks for."""
    import torch

    if _accelerator() == "cpu" and recipe.precision == "fp16":
        raise UserError(place, "precision fp16 needs a GPU", "take bf16 or fp32")
    if _accelerator() == "cuda" and recipe.devices > torch.cuda.device_count():
        fault = f"devices={recipe.devices}, but there are {torch.cuda.device_count()} GPUs"
        raise UserError(place, fault, "lower devices")


def is_writer(fabric: Fabric, recipe: Recipe) -> bool:
    """Whether a process leaves the outputs: the first, and each that belongs to a build of its own."""
    return fabric.is_global_zero or recipe.launcher == "kubernetes"


def end_with_parent(parent: int) -> None:
    """Leave when the process that started this one is gone."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _accelerator() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
