"""Weights that somebody else trained: a state_dict of torch or a safetensors file, read without running what is in it.

The state_dict may be the file itself or lie in it under "state_dict", "model_state_dict" or "model"; a prefix that all
its names have ("module." of DataParallel, "_orig_mod." of torch.compile, "model.", "network.", "net.") is left out. A
checkpoint of `Train` is one, too.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnrules.error import UserError
from nnrules.training.checkpoint import weights_of
from nnrules.training.weights import refuse_not_finite, take_state

if TYPE_CHECKING:
    from torch import Tensor, nn

State = dict[str, "Tensor"]
_WITHIN = ("state_dict", "model_state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.")
_COUNTER = ".num_batches_tracked"  # which old versions of torch did not save
_CURE = "name the network class that these weights are of"
_SHOWN = 3


def adopt(network: nn.Module, path: Path, place: str, examples: tuple[Any, ...]) -> None:
    """Load a file's weights; a network whose channels were pruned takes their number on.

    ``examples``: inputs with batch, by which shapes are tried. Raises UserError at ``place`` where the file is none of
    weights, names or shapes are not the network's, or a value is not finite.
    """
    import torch

    own = network.state_dict()
    state = _named_like(own, weights_of(_read(path, place)))
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        parts = [f"{word} {_some(names)}" for word, names in (("has no", missing), ("has", unknown)) if names]
        wrong = " but ".join(parts)
        raise UserError(place, wrong if missing else f"{wrong}, which the network has not", _CURE)
    for name, each in own.items():
        if each.is_floating_point() and not state[name].is_floating_point():
            kind = str(state[name].dtype).removeprefix("torch.")
            raise UserError(
                place, f"{name} is {kind}, the network's is of real numbers", "save it before it is quantized"
            )
    refuse_not_finite(state, place, "train it again")
    network.eval()
    with torch.no_grad():
        before = _shapes(network(*examples))
        shapes = {name: tuple(each.shape) for name, each in own.items()}
        other = [name for name, shape in shapes.items() if shape != tuple(state[name].shape)]
        try:
            take_state(network, {name: each.to(own[name].dtype) for name, each in state.items()})
        except RuntimeError as fault:
            raise UserError(place, str(fault).splitlines()[-1].strip(), _CURE) from None
        if other and _tried(network, examples) != before:
            name = other[0]
            told = f"{name} is {_told(state[name].shape)}, the network's {_told(shapes[name])}"
            more = f" ({len(other)} tensors differ)" if len(other) > 1 else ""
            raise UserError(place, told + more, _CURE)


def _read(path: Path, place: str) -> State:
    """The state_dict of a file of either kind."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with path.open("rb") as file:
        head = file.read(9)
    cure = "save network.state_dict() with torch.save or safetensors"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_file(path) if head[8:] == b"{" else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as fault:
        code = re.search(r"GLOBAL (\S+)", str(fault))
        if code is None:
            raise UserError(place, "is no file of weights", cure) from None
        raise UserError(place, f"holds code ({code[1]}), which is not run", f"{cure}, nothing else") from None
    except (RuntimeError, SafetensorError, EOFError, ValueError, KeyError):
        raise UserError(place, "is no file of weights", cure) from None
    while isinstance(found, Mapping) and (key := next((each for each in _WITHIN if _is_state(found.get(each))), None)):
        found = found[key]
    if not _is_state(found):
        raise UserError(place, "holds no state_dict", cure)
    wrong = next((name for name, each in found.items() if not isinstance(each, torch.Tensor)), None)
    if wrong is not None:
        raise UserError(place, f"{wrong!r} is no tensor", cure)
    return dict(found)


def _is_state(found: Any) -> bool:
    return isinstance(found, Mapping) and bool(found) and all(isinstance(name, str) for name in found)


def _named_like(own: Mapping[str, Tensor], state: State) -> State:
    """Without a prefix of all names that the network's do not have, and with what old files lack."""
    while prefix := next((each for each in _PREFIXES if all(name.startswith(each) for name in state)), None):
        if all(name.startswith(prefix) for name in own):
            break
        state = {name.removeprefix(prefix): each for name, each in state.items()}
    counters = {name: each for name, each in own.items() if name.endswith(_COUNTER)}
    return {**counters, **state}


def _tried(network: nn.Module, examples: tuple[Any, ...]) -> list[tuple[int, ...]] | None:
    """The shapes of the outputs; None where the layers do not fit each other."""
    try:
        return _shapes(network(*examples))
    except RuntimeError:
        return None


def _shapes(outputs: Any) -> list[tuple[int, ...]]:
    return [tuple(each.shape) for each in (outputs if isinstance(outputs, tuple | list) else [outputs])]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _told(shape: Any) -> str:
    return f"({', '.join(map(str, shape))})"
