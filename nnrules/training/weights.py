"""Weights in safetensors files, and networks that take on the shapes found there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nnrules.error import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn


def save_weights(network: nn.Module, path: Path, note: str = "") -> None:
    """Write parameters and buffers by name, and what all that is made of them is to be labelled with.

    Raises UserError naming the first tensor with NaN or infinity.
    """
    from safetensors.torch import save_file

    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.state_dict().items()}
    refuse_not_finite(state, str(path.name))
    save_file(state, path, {"note": note} if note else None)


def read_note(path: Path) -> str:
    """The note of a file of `save_weights`."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return str((file.metadata() or {}).get("note", ""))


def load_weights(network: nn.Module, path: Path) -> None:
    """Load `save_weights`' file, first giving each Conv2d, BatchNorm and Linear the shape of its tensors there.

    So a network whose channels were pruned is rebuilt from its class and its weights alone. Raises UserError where the
    file's names or shapes cannot be those of this network, or a value is not finite.
    """
    from safetensors.torch import load_file

    state = load_file(path)
    refuse_not_finite(state, str(path))
    cure = "train it again: the network has changed since"
    wanted = set(network.state_dict())
    if missing := sorted(wanted ^ set(state)):
        kind = "no" if missing[0] in wanted else "an unknown"
        raise UserError(str(path), f"has {kind} tensor {missing[0]!r}", cure)
    try:
        take_state(network, state)
    except RuntimeError as error:
        raise UserError(str(path), str(error).splitlines()[-1].strip(), cure) from None


def take_state(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load tensors by name, first giving each Conv2d, BatchNorm and Linear their shapes."""
    for name, module in network.named_modules():
        fit_to_tensors(module, {key: state[f"{name}.{key}"] for key in module.state_dict() if f"{name}.{key}" in state})
    network.load_state_dict(state)


def fit_to_tensors(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Resize one layer, in place, to the shapes of the tensors it is about to load."""
    import torch
    from torch import nn

    weight = tensors.get("weight", tensors.get("running_mean"))
    if weight is None or not isinstance(module, nn.Conv2d | nn.Linear | nn.modules.batchnorm._BatchNorm):
        return
    if isinstance(module, nn.Conv2d) and weight.ndim == 4:
        if module.groups == module.in_channels > 1:  # depthwise, each input feeding the same number of outputs
            module.groups = weight.shape[0] * module.groups // module.out_channels
        module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear) and weight.ndim == 2:
        module.out_features, module.in_features = weight.shape
    elif isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.num_features = weight.shape[0]
    for name, tensor in tensors.items():
        old = getattr(module, name)
        if old.shape == tensor.shape:
            continue
        fresh = torch.empty_like(tensor, device=old.device)
        is_learned = isinstance(old, nn.Parameter)
        setattr(module, name, nn.Parameter(fresh, requires_grad=old.requires_grad) if is_learned else fresh)


def refuse_not_finite(
    state: dict[str, Tensor], place: str, cure: str = "lower the learning rate and train again"
) -> None:
    """Raise UserError naming the first tensor that holds NaN or infinity."""
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(place, f"tensor {name!r} holds NaN or infinity", cure)
