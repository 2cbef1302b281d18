"""Which channels of a network's layers go together, and the network without some of them.

What is added or multiplied has the same channels, and what one layer makes another one takes: torch-pruning's
dependency graph (Fang et al., DepGraph, CVPR 2023, arXiv:2301.12900) finds what goes with what.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

FIXED = -1
_Member = tuple[str, str, int]  # "made" or "taken", name of the layer, index there
_BARRED: _Member = ("", "", 0)  # what goes with it stays


@dataclasses.dataclass(frozen=True)
class Channels:
    """Channels are numbered through the network, one number for all that goes together.

    ``made``: by name of a convolution, fully connected layer or BatchNorm, of each output its channel's number;
    ``taken``: by layer but depthwise ones, of each input; FIXED: it stays. ``ties``: by number, which tie a channel
    belongs to: those of a tie are made and taken by the same layers.
    """

    made: dict[str, Tensor]
    taken: dict[str, Tensor]
    ties: Tensor

    def makers(self, tie: int) -> list[str]:
        """The layers that the channels of a tie are computed with, depthwise ones and BatchNorm too."""
        return [name for name in self.made if bool(chosen(self.ties == tie, self.made[name], fixed=False).any())]

    def untaken(self, masks: dict[str, Tensor]) -> Tensor:
        """bool: the channels that no layer takes anything of; ``masks``: of the layers' weights. Of each tie the first
        channel is never among them."""
        taken = torch.zeros(len(self.ties), dtype=torch.bool)
        for name, mask in masks.items():
            numbers, used = self.taken[name], mask.bool().transpose(0, 1).flatten(1).any(1)
            taken[numbers[used & (numbers != FIXED)]] = True
        for tie in set(self.ties.tolist()):
            members = (self.ties == tie).nonzero().flatten()
            if not taken[members].any():
                taken[members[0]] = True
        return ~taken

    def without(self, full: Mapping[str, Tensor], gone: Tensor) -> dict[str, Tensor]:
        """A network's state without the channels that are ``gone``, bool."""
        state = dict(full)
        for name, made in self.made.items():
            for key in [key for key in state if key.rpartition(".")[0] == name and state[key].ndim]:
                state[key] = state[key][chosen(~gone, made)]
                if name in self.taken and state[key].ndim > 1:
                    state[key] = state[key][:, chosen(~gone, self.taken[name])]
        return state


def chosen(channels: Tensor, numbers: Tensor, fixed: bool = True) -> Tensor:
    """Of a layer's outputs or inputs, those whose channels are true; ``fixed``: what those have that stay."""
    return torch.cat([channels, torch.tensor([fixed])])[numbers]


def is_dense(module: nn.Module) -> bool:
    """Whether each output of it is made of all inputs."""
    return isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)


def _passes(module: nn.Module) -> bool:
    """Whether each output of it is made of the input of the same number."""
    if isinstance(module, nn.Conv2d):
        return module.groups == module.in_channels == module.out_channels > 1
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def find_channels(network: nn.Module, example: tuple[Tensor, ...]) -> Channels:
    """The channels that leave no trace when nothing is taken of them any more; ``example``: inputs with batch.

    Not those that reach an output of the network, or go through anything with parameters that is neither a convolution
    (full or depthwise) nor fully connected nor BatchNorm, or are mixed without a layer, or whose number the network's
    code relies on.
    """
    network.eval()
    layers = {name: each for name, each in network.named_modules() if is_dense(each) or _passes(each)}
    made = {name: torch.full((_width(each, "made"),), FIXED) for name, each in layers.items()}
    taken = {name: torch.full((_width(each, "taken"),), FIXED) for name, each in layers.items() if is_dense(each)}
    kinds: dict[frozenset[tuple[str, str]], int] = {}
    ties: list[int] = []
    for members in _together(network, example, layers):
        for way, name, index in members:
            (made if way == "made" else taken)[name][index] = len(ties)
        ties.append(kinds.setdefault(frozenset((way, name) for way, name, _ in members), len(kinds)))
    return _without_traces(network, example, Channels(made, taken, torch.tensor(ties, dtype=torch.long)))


def _width(layer: Any, way: str) -> int:
    """How many channels are made or taken."""
    if hasattr(layer, "num_features"):
        return int(layer.num_features)
    return int(layer.weight.shape[0 if way == "made" else 1])


def _together(network: nn.Module, example: tuple[Tensor, ...], layers: dict[str, nn.Module]) -> Iterator[list[_Member]]:
    """For each channel that some layer takes, all that goes with it."""
    import torch_pruning

    graph = torch_pruning.DependencyGraph().build_dependency(network, example, verbose=False)
    names = {module: name for name, module in layers.items()}
    parents: dict[_Member, _Member] = {}

    def root(member: _Member) -> _Member:
        while (parent := parents.setdefault(member, member)) != member:
            member = parent
        return member

    for name, layer in layers.items():
        if not (is_dense(layer) and layer in graph.module2node):
            continue
        pruner = graph.get_pruner_of_module(layer)
        for item in graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(_width(layer, "made")))):
            found = _member(graph, item.dep, names)
            for here, there in zip(item.root_idxs, item.idxs, strict=True) if found != ("", "") else ():
                known = found and there < _width(layers[found[1]], found[0])
                one, other = root(("made", name, here)), root((*found, there) if found and known else _BARRED)
                parents[max(one, other)] = min(one, other)
    classes: dict[_Member, list[_Member]] = {}
    for member in sorted(parents):
        classes.setdefault(root(member), []).append(member)
    for first, group in classes.items():
        if first != root(_BARRED) and any(way == "taken" for way, _, _ in group):
            yield group


def _member(graph: Any, dependency: Any, names: dict[nn.Module, str]) -> tuple[str, str] | None:
    """("made" or "taken", name) of the layer whose channels are meant, ("", "") where nothing is known by its channels;
    None where they go through something else with parameters."""
    module = dependency.target.module
    if module in names:
        taken = is_dense(module) and graph.is_in_channel_pruning_fn(dependency.handler)
        return ("taken" if taken else "made"), names[module]
    with_parameters = isinstance(module, nn.Parameter) or any(True for _ in module.parameters())
    return None if with_parameters else ("", "")


def _without_traces(network: nn.Module, example: tuple[Tensor, ...], channels: Channels) -> Channels:
    """Those left without which the network computes what it does when nothing is taken of them: this is tried, tie by
    tie, with the first channel and with every other one beside those of the ties before."""
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(each + torch.rand(each.shape, generator=generator) for each in example)
    state = _drawn(network, channels, generator)
    left = torch.ones(len(channels.ties), dtype=torch.bool)
    removed = ~left
    for tie in sorted(set(channels.ties.tolist())):
        members = (channels.ties == tie).nonzero().flatten()
        first, many = torch.zeros_like(removed), removed.clone()
        first[members[0]] = many[members[::2]] = True
        if len(members) > 1 and all(_is_same(network, state, inputs, channels, gone) for gone in (first, many)):
            removed = many
        else:
            left[members] = False
    numbers = torch.cat([torch.where(left, left.cumsum(0) - 1, FIXED), torch.tensor([FIXED])])
    return Channels(
        {name: numbers[each] for name, each in channels.made.items()},
        {name: numbers[each] for name, each in channels.taken.items()},
        channels.ties[left],
    )


def _drawn(network: nn.Module, channels: Channels, generator: torch.Generator) -> dict[str, Tensor]:
    """The network's state with layers of other weights, in which no channel is dead."""
    state = dict(network.state_dict())
    for key, each in state.items():
        if key.rpartition(".")[0] in channels.made and each.ndim:
            fan = each.numel() / len(each)
            normal = torch.randn(each.shape, generator=generator) / fan**0.5
            state[key] = normal if each.ndim > 1 else 0.5 + torch.rand(each.shape, generator=generator)
    return state


def _is_same(
    network: nn.Module, state: Mapping[str, Tensor], inputs: tuple[Tensor, ...], channels: Channels, gone: Tensor
) -> bool:
    """Whether the network without these channels computes what it does when nothing is taken of them."""
    untaken = dict(state)
    for name, numbers in channels.taken.items():
        untaken[f"{name}.weight"] = state[f"{name}.weight"].clone()
        untaken[f"{name}.weight"][:, chosen(gone, numbers, fixed=False)] = 0
    smaller = channels.without(untaken, gone)
    before = _outputs_of(network, untaken, inputs)
    try:
        after = _outputs_of(_resized(network, channels, smaller), smaller, inputs)
    except Exception:  # whatever the network's own code raises at other sizes
        return False
    return len(before) == len(after) and all(map(_is_close, before, after))


def _is_close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=0.0, atol=1e-4 * float(one.abs().max()))


def _resized(network: nn.Module, channels: Channels, state: Mapping[str, Tensor]) -> nn.Module:
    """A copy whose layers say that they have the sizes of this state."""
    network = copy.deepcopy(network)
    for name in channels.made:
        layer: Any = network.get_submodule(name)
        if isinstance(layer, nn.Linear):
            layer.out_features, layer.in_features = state[f"{name}.weight"].shape
        elif isinstance(layer, nn.Conv2d):
            outputs, inputs = state[f"{name}.weight"].shape[:2]
            layer.groups = outputs if layer.groups > 1 else 1
            layer.out_channels, layer.in_channels = outputs, inputs * layer.groups
    return network


def _outputs_of(network: nn.Module, state: Mapping[str, Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    with torch.no_grad():
        found = functional_call(network, dict(state), inputs, tie_weights=False)
    return tuple(found) if isinstance(found, tuple | list) else (found,)
