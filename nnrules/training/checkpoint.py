"""Checkpoints of a training run: one safetensors file, replaced atomically; no pickle, which could run foreign code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

_FILE = "checkpoint.safetensors"


def save_checkpoint(folder: Path, network: nn.Module, optimizer: Optimizer, progress: dict[str, Any]) -> None:
    """Write the state after a whole number of epochs; `progress` is JSON-able."""
    from safetensors.torch import save_file

    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    plain: dict[str, dict[str, Any]] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            _keep(tensors, plain, str(index), name, value)
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    partial = folder / f".{_FILE}.{os.getpid()}"
    save_file(tensors, partial, metadata={"state": json.dumps({"progress": progress, "plain": plain})})
    os.replace(partial, folder / _FILE)


def load_checkpoint(folder: Path, network: nn.Module, optimizer: Optimizer) -> dict[str, Any] | None:
    """Restore what `save_checkpoint` wrote and return its `progress`; None where there is none that can be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / _FILE, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            state = json.loads(file.metadata()["state"])
    except (FileNotFoundError, SafetensorError):
        return None
    weights: dict[str, Tensor] = {}
    per_parameter: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in state["plain"].items()}
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner == "network":
            weights[rest] = tensor
        else:
            index, _, field = rest.partition(".")
            per_parameter.setdefault(int(index), {})[field] = tensor
    network.load_state_dict(weights)
    optimizer.load_state_dict({"state": per_parameter, "param_groups": optimizer.state_dict()["param_groups"]})
    progress: dict[str, Any] = state["progress"]
    return progress


def _keep(tensors: dict[str, Tensor], plain: dict[str, dict[str, Any]], index: str, name: str, value: Any) -> None:
    """Sort one value of the optimizer's state into tensors or plain JSON."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[f"optimizer.{index}.{name}"] = value
    else:
        plain.setdefault(index, {})[name] = value
