"""The network that another one learns from, as the options of a stage name it."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, TypeVar

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError
from nnrules.stages.runner import Request
from nnrules.training.task import make_network
from nnrules.training.weights import load_weights

if TYPE_CHECKING:
    from torch import nn

R = TypeVar("R", bound=Recipe)


def find_teacher(request: Request[R], before: nn.Module | None = None) -> nn.Module | None:
    """None where there is to be none. ``before``: the network as it is before the stage, None: its weights are random.

    Inputs: teacher (safetensors), teacher_network, teacher_best where a search chose its arguments. Raises UserError
    where the stage begins with random weights and is to learn from these.
    """
    if request.options.teacher == "self":
        if before is None:
            word = f"{request.verb} {request.model}: teacher 'self'"
            raise UserError(word, "there is no trained network before this one", "name a step of another model")
        return deepcopy(before)
    if request.options.teacher == "none":
        return None
    network: nn.Module = make_network(request.reference("teacher_network"))
    load_weights(network, request.input("teacher"))
    return network
