"""What nnrules asks of a model's own Python files: a network class and a dataset class.

Any class with these members will do; nothing has to be inherited. The network is constructed without arguments, the
dataset with its split ("train" or "test") and, when the build got `data=PATH`, that path as `data`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError

Floats = NDArray[np.float32]


@runtime_checkable
class Dataset(Protocol):
    """Samples of one split. Item i is (input, target): float32 in the network's own units and layout, without batch.

    The input of a network with several is a tuple of arrays, in the order of `forward`'s arguments.

    An item depends on nothing but the constructor's arguments, the index and, if there is `set_epoch`, the epoch:
    that makes training repeatable and lets it resume after a kill. A dataset whose inputs come from integers may say so
    by an attribute `input_quantization = (scale, zero_point)`, or a list of such pairs, one for each input; else
    quantization takes the range of the samples.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Floats | tuple[Floats, ...], Any]: ...


@runtime_checkable
class VaryingDataset(Dataset, Protocol):
    """A dataset whose training items change from epoch to epoch (augmentation)."""

    def set_epoch(self, epoch: int) -> None:
        """Items fetched from now on belong to this epoch, counted from 0."""


@runtime_checkable
class MeasuredDataset(Dataset, Protocol):
    """A dataset that can say how good a network is."""

    metric_name: str

    def metric(self, outputs: Sequence[Floats]) -> float:
        """Quality, higher is better, from the outputs for the first N items in order: one (N, ...) array per output."""


@runtime_checkable
class PicturedDataset(Dataset, Protocol):
    """A dataset that can draw what was found, for the build's report."""

    def picture(
        self,
        index: int,
        outputs: Sequence[NDArray[np.int8]],
        steps: Sequence[tuple[float, int]],
        console: str,
        path: Path,
    ) -> None:
        """Draw item `index` into the PNG `path`, with what the integer model and the firmware found in it.

        `outputs`: the integer model's, without batch, in the network's layout, with their (scale, zero point) in
        `steps`; `console`: what the firmware printed.
        """


@runtime_checkable
class Network(Protocol):
    """A torch.nn.Module that knows its loss."""

    def loss(self, output: Any, target: Any) -> Any:
        """Mean loss of a batch as a scalar tensor, from what `forward` returned and the stacked targets."""


def make_network(kind: Callable[[], Any]) -> Any:
    """Construct a model's network. Raises UserError where the class is not a torch.nn.Module with a `loss`."""
    from torch import nn

    network = kind()
    place = getattr(kind, "__name__", str(kind))
    if isinstance(network, nn.Module) and not isinstance(network, Network):
        raise UserError(place, "has no loss", "define loss(output, target)")
    if not isinstance(network, nn.Module):
        raise UserError(place, "is not a network", "derive it from torch.nn.Module and define loss(output, target)")
    return network


def stacked(dataset: Dataset, indices: Iterable[int]) -> tuple[Floats, ...]:
    """The inputs of some items, one (n, ...) array for each of the network's inputs."""
    items = [dataset[index][0] for index in indices]
    apart = [item if isinstance(item, tuple) else (item,) for item in items]
    return tuple(np.stack([np.asarray(each, np.float32) for each in column]) for column in zip(*apart, strict=True))


def example_inputs(dataset: Dataset) -> tuple[Any, ...]:
    """The first sample's inputs as torch tensors with batch 1."""
    import torch

    return tuple(torch.from_numpy(each) for each in stacked(dataset, [0]))


def make_dataset(kind: Callable[..., Any], split: str, data: Path | None) -> Dataset:
    """Construct a model's dataset. Raises UserError where the class lacks what a dataset needs or is empty."""
    place = getattr(kind, "__name__", str(kind))
    if data and not _takes(kind, "data"):
        raise UserError(place, "takes no data", "leave data= out or give its constructor an argument of that name")
    dataset = kind(split, data=data) if data else kind(split)
    if not isinstance(dataset, Dataset):
        raise UserError(place, "is not a dataset", "define __len__ and __getitem__(index) -> (input, target)")
    try:
        count = len(dataset)
    except TypeError as fault:
        raise UserError(place, f"__len__: {fault}", "return the number of samples") from None
    if count == 0:
        raise UserError(place, f"has no samples in its {split!r} split", "check the dataset and data=PATH")
    return dataset


def parameters_of(kind: Callable[..., Any]) -> list[str] | None:
    """The names of the arguments that a class is constructed with; None where it takes any."""
    parameters = inspect.signature(kind).parameters
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
        return None
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [name for name, each in parameters.items() if each.kind in named]


def _takes(kind: Callable[..., Any], name: str) -> bool:
    """Whether a callable has a parameter of this name, or takes any."""
    parameters = inspect.signature(kind).parameters
    return name in parameters or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
