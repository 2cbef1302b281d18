"""What torch raises while a network trains and the user can mend, in a line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nnrules.catalog.stages import Recipe
from nnrules.error import UserError

_ONE = "set devices and nodes to 1"
_TOLD = {  # what is in torch's text, which has no exceptions of its own for these: fault and cure
    "DefaultCPUAllocator: can't allocate memory": ("there is not enough memory", "lower batch_size (now {batch_size})"),
    "Expected more than 1 value per channel": (
        "BatchNorm has a single item to learn from",
        "choose another batch_size (now {batch_size}), of whose last batch each process gets two items",
    ),
    "Your training graph has changed": ("parameters take part in the loss of some batches only", _ONE),
    "does not require grad and does not have a grad_fn": (
        "the loss does not depend on the weights",
        "compute it from the output, without detach() or item()",
    ),
    "does not have a deterministic implementation": (
        "a layer has no gradient that is the same in each run on this device",
        "put another one in its place: {word}",
    ),
}


@contextmanager
def explaining(place: str, recipe: Recipe) -> Iterator[None]:
    """Raises UserError at ``place`` for what torch raises in this context, if it is known."""
    import torch

    try:
        yield
    except (RuntimeError, ValueError, MemoryError) as fault:
        memory = isinstance(fault, torch.OutOfMemoryError | MemoryError)
        told = (
            next(iter(_TOLD.values())) if memory else next((_TOLD[text] for text in _TOLD if text in str(fault)), None)
        )
        if told is None:
            raise
        word = (str(fault).split() or [""])[0]
        cure = told[1].format(batch_size=recipe.batch_size, word=word)
        raise UserError(place, told[0], cure) from fault
