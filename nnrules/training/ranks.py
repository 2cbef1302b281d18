"""The processes that train one network together, by Lightning Fabric: devices, precision, and who starts them.

Started by torchrun, SLURM or another cluster manager that Fabric knows, they find each other through its variables;
else the stage starts them itself on this machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Given = TypeVar("Given")
GOES_ON = "it goes on after the last whole epoch"
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def alone() -> Fabric:
    """One process on the CPU, in full precision."""
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def launch(function: Callable[[Fabric, Given], None], given: Given, recipe: Recipe, place: str) -> None:
    """Call ``function``, of a module, in every process, with what connects it to the others; ``given`` is pickled.

    Raises UserError where the machine has not what the recipe asks for, where one of the processes raised it, and where
    one of them was ended from outside.
    """
    from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

    fabric = _fabric(recipe, place)
    if recipe.devices * recipe.nodes == 1:
        function(fabric, given)
        return
    try:
        fabric.launch(partial(_in_process, function, given))  # as an argument Fabric would look into it
    except ProcessExitedException as fault:
        cause = f"signal {fault.signal_name}" if fault.signal_name else f"status {fault.exit_code}"
        cure = f"build again: {GOES_ON}"
        raise UserError(place, f"process {fault.error_index} of {fabric.world_size} ended with {cause}", cure) from None
    except ProcessRaisedException as fault:
        if told := _RAISED.search(str(fault)):
            raise UserError(*told.groups()) from None
        raise


def _in_process(function: Callable[[Fabric, Given], None], given: Given, fabric: Fabric) -> None:
    function(fabric, given)


_RAISED = re.compile(r"^nnrules\.error\.UserError: (.*?): (.*); (.*)$", re.MULTILINE)


def _fabric(recipe: Recipe, place: str) -> Fabric:
    import torch
    from lightning_fabric import Fabric

    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cpu" and recipe.precision == "fp16":
        raise UserError(place, "precision fp16 needs a GPU", "take bf16 or fp32")
    if accelerator == "cuda" and recipe.devices > torch.cuda.device_count():
        fault = f"devices={recipe.devices}, but there are {torch.cuda.device_count()} GPUs"
        raise UserError(place, fault, "lower devices")
    many = recipe.devices * recipe.nodes > 1
    precision: Any = PRECISIONS[recipe.precision]
    strategy = "auto" if not many else "ddp_spawn" if recipe.nodes == 1 else "ddp"
    return Fabric(
        accelerator=accelerator,
        devices=recipe.devices,
        num_nodes=recipe.nodes,
        strategy=strategy,
        precision=precision,
    )
