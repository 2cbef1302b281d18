"""Checkpoints of a training run: one safetensors file, replaced atomically; no pickle, which could run foreign code."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

_FILE = "checkpoint.safetensors"
_OPTIMIZER, _NETWORK, _AVERAGE = "optimizer", "network", "average"


def save_checkpoint(
    folder: Path, networks: Mapping[str, nn.Module], optimizer: Optimizer | None, progress: dict[str, Any]
) -> None:
    """Write the state after a whole number of epochs; `progress` is JSON-able."""
    from safetensors.torch import save_file

    states = {name: network.state_dict() for name, network in networks.items()}
    tensors = {f"{name}.{key}": tensor for name, state in states.items() for key, tensor in state.items()}
    plain: dict[str, dict[str, Any]] = {}
    for index, state in optimizer.state_dict()["state"].items() if optimizer else ():
        for name, value in state.items():
            _keep(tensors, plain, str(index), name, value)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{_FILE}.{os.getpid()}"
    try:
        save_file(tensors, partial, metadata={"state": json.dumps({"progress": progress, "plain": plain})})
        os.replace(partial, folder / _FILE)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(
    folder: Path,
    networks: Mapping[str, nn.Module],
    optimizer: Optimizer | None,
    told: Callable[[Any], Any] = lambda found: found,
) -> dict[str, Any] | None:
    """Restore what `save_checkpoint` wrote and return its `progress`; None where there is none that can be read.

    ``told``: gives each process what the first one read, which may be the only one that has the file.
    """
    found = told(_read(folder))
    if found is None:
        return None
    tensors, state = found
    states: dict[str, dict[str, Tensor]] = {name: {} for name in networks}
    per_parameter: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in state["plain"].items()}
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner == _OPTIMIZER:
            index, _, field = rest.partition(".")
            per_parameter.setdefault(int(index), {})[field] = tensor
        else:
            states[owner][rest] = tensor
    for name, network in networks.items():
        network.load_state_dict(states[name])
    if optimizer:
        optimizer.load_state_dict({"state": per_parameter, "param_groups": optimizer.state_dict()["param_groups"]})
    progress: dict[str, Any] = state["progress"]
    return progress


def told_where(folder: Path) -> str:
    """In words, where what was trained so far is; empty before the first epoch's end."""
    found = _read(folder)
    if found is None:
        return ""
    done = len(found[1]["progress"]["losses"])
    return f"the weights after epoch {done} are in {folder / _FILE}, which Model(weights=...) takes"


def weights_of(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of a checkpoint's tensors the network's that would be the result; of any other file all."""
    owners = {name.partition(".")[0] for name in state}
    if not {_NETWORK, _OPTIMIZER} <= owners <= {_NETWORK, _OPTIMIZER, _AVERAGE}:
        return state
    prefix = f"{_AVERAGE}.module." if _AVERAGE in owners else f"{_NETWORK}."
    return {name.removeprefix(prefix): each for name, each in state.items() if name.startswith(prefix)}


def _read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and the rest."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / _FILE, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return tensors, json.loads(file.metadata()["state"])
    except (FileNotFoundError, SafetensorError):
        return None


def _keep(tensors: dict[str, Tensor], plain: dict[str, dict[str, Any]], index: str, name: str, value: Any) -> None:
    """Sort one value of the optimizer's state into tensors or plain JSON."""
    import torch

    if isinstance(value, torch.Tensor):
        tensors[f"{_OPTIMIZER}.{index}.{name}"] = value
    else:
        plain.setdefault(index, {})[name] = value
