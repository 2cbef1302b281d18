"""Weights that are zero and stay so: masks on layers, which a pruner chooses anew while the sparsity rises."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.channels import Channels, find_channels, is_dense
from nnrules.compress.widths import nearest
from nnrules.compress.zeros import Mask, of_zeros, parametrizations
from nnrules.error import UserError

Masks = dict[str, Tensor]


@dataclasses.dataclass
class Layers:
    """What a pruner chooses in.

    ``modules``: fully connected layers and convolutions but grouped ones, by name, if they ever run; ``skip``: layers,
    grouped ones too, whose filters stay; ``example``: the network's inputs with batch; ``places``: see there;
    ``place``: for what is told.
    """

    network: nn.Module
    modules: dict[str, nn.Module]
    skip: frozenset[str]
    example: tuple[Tensor, ...]
    places: dict[str, int]
    place: str

    def weights(self) -> dict[str, Tensor]:
        """(outputs, inputs, ...) of all layers, without masks."""
        return {name: parametrizations(each).original.detach().cpu() for name, each in self.modules.items()}

    def learned(self) -> dict[str, Tensor]:
        """The factors that the pruner learns on each weight, by layer."""
        found: dict[str, Any] = {name: parametrizations(each)[0] for name, each in self.modules.items()}
        return {name: each.factors.detach().cpu() for name, each in found.items() if not isinstance(each, Mask)}

    @cached_property
    def channels(self) -> Channels:
        """Which channels go together."""
        return find_channels(self.network, self.example)


def places(network: nn.Module, example: tuple[Tensor, ...]) -> dict[str, int]:
    """By layer, depthwise ones too, how often each weight is multiplied for one input: at the pixels of its output."""
    found: dict[str, int] = {}
    layers = {name: each for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
    handles = []
    for name, layer in layers.items():

        def count(layer: Any, _: Any, output: Tensor, name: str = name) -> None:
            found[name] = found.get(name, 0) + output[0].numel() // len(layer.weight)

        handles.append(layer.register_forward_hook(count))
    network.eval()
    with torch.no_grad():
        network(*example)
    for each in handles:
        each.remove()
    return found


class Pruning:
    """A network under masks, which are put on when this is made; ``method``: a module of compress/pruners.

    What is zero at the beginning stays so. ``settled``: the epoch from which on the sparsity is what was asked for.
    """

    def __init__(
        self, network: nn.Module, method: Any, example: tuple[Tensor, ...], options: PruneOptions, place: str
    ) -> None:
        """Raises UserError where a layer would be empty or nothing be removed, or `skip` names no layer."""
        self.network, self.method, self.options, self.place = network, method, options, place
        known = {name: each for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)}
        for name in options.skip:
            if name not in known:
                raise UserError(place, f"skip names {name!r}, which is no layer", nearest(name, known))
        many = places(network, example)
        modules: dict[str, nn.Module] = {name: each for name, each in known.items() if is_dense(each) and name in many}
        self.layers = Layers(network, modules, frozenset(options.skip), example, many, place)
        self.before = dict(network.state_dict())
        self.channels = self.layers.channels if method.REMOVES_CHANNELS else None
        self.learned: list[Any] = []
        self.first: Masks = {}
        for name, layer in modules.items():
            weight: Any = layer.weight
            zeros = of_zeros(weight.detach())
            self.first[name] = torch.ones_like(weight) if zeros is None else zeros
            learns = hasattr(method, "learned") and name not in options.skip
            if learned := learns and method.learned(weight.detach(), options):
                parametrize.register_parametrization(layer, "weight", learned)
                self.learned.append(learned)
            parametrize.register_parametrization(layer, "weight", Mask(self.first[name].clone()))
        self.rising = max(1, round(options.retrain_epochs * options.ramp))
        if self.learned:
            self._require_epochs()
        else:
            self.set(options.sparsity)
            self._require_less()
        self.settled = self.rising - (0 if self.learned else 1)
        self.is_rising = True
        if options.retrain_epochs:
            for name, mask in self.first.items():
                self._mask(name).copy_(mask)

    def _require_epochs(self) -> None:
        """One at least to learn, one with what was chosen."""
        epochs = self.options.retrain_epochs
        if epochs < 2:
            fault = f"{epochs} retrain_epochs are too few to learn what is removed"
            raise UserError(self.place, fault, "set 2 at least")
        self.rising = min(self.rising, epochs - 1)

    def before_epoch(self, epoch: int) -> None:
        """Choose the masks of an epoch: the sparsity rises over the first epochs as a cube does (Zhu and Gupta, To
        prune, or not to prune, 2017, arXiv:1710.01878), and stays. What is learned is learned for an epoch before
        anything is chosen by it."""
        done = self.rising - self.settled + epoch
        self.is_rising = done < self.rising
        if 0 < done <= self.rising:
            self.set(self.options.sparsity * (1 - (1 - done / self.rising) ** 3))
            if self.learned and done == self.rising:
                self._require_less()

    def penalty(self) -> Tensor | float:
        """What the loss grows by while the sparsity rises."""
        return sum((each.penalty() for each in self.learned), start=0.0) if self.is_rising else 0.0

    def set(self, sparsity: float) -> None:
        """Choose masks. Raises UserError where a layer would be empty, and where there is nothing to choose from."""
        masks = self.method.choose(self.layers, sparsity, self.options)
        if not masks and sparsity:
            fault = f"has no layer that {self.options.method} could take anything of"
            raise UserError(self.place, fault, "choose another method" + (", or skip less" * bool(self.options.skip)))
        for name, mask in masks.items():
            left = mask.to(self.first[name]) * self.first[name]
            if not left.any():
                raise UserError(
                    f"{self.place}: layer '{name}'", "would lose all its weights", "lower sparsity or skip it"
                )
            self._mask(name).copy_(left)

    def _require_less(self) -> None:
        """Raise UserError where all that is not zero stays."""
        if self.options.sparsity and all(torch.equal(self._mask(name), mask) for name, mask in self.first.items()):
            zero = " that is not zero" if any(not mask.all() for mask in self.first.values()) else ""
            fault = f"sparsity {self.options.sparsity:g} removes nothing{zero}"
            multiple = "round_to" in self.method.OPTIONS and self.options.round_to > 1
            cure = f", or lower round_to (now {self.options.round_to})" if multiple else ""
            raise UserError(self.place, fault, f"raise it{cure}")

    def _mask(self, name: str) -> Tensor:
        mask: Tensor = parametrizations(self.layers.modules[name])[-1].mask
        return mask

    def finish(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Leave plain layers, zeros in their weights. The state of what remains of the network, without the channels
        that nothing is taken of, and the report: before and after, by layer the "layers"' channels and the "weights"
        (after: not zero), in all "parameters" and "multiplications" of an input (by weights that are not zero)."""
        masks = {name: self._mask(name) for name in self.layers.modules}
        for layer in self.layers.modules.values():
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        state = dict(self.network.state_dict())
        if self.channels:
            state = self.channels.without(state, self.channels.untaken(masks))
        return state, self._report(state)

    def _report(self, state: Mapping[str, Tensor]) -> dict[str, Any]:
        names = {name: f"{name}.weight" for name in self.layers.places}
        pairs = {name: (self.before[key], state[key]) for name, key in names.items()}
        used = [(one.count_nonzero(), other.count_nonzero()) for one, other in pairs.values()]
        many = self.layers.places.values()
        parameters = [name for name, _ in self.network.named_parameters()]
        return {
            "layers": {name: [len(one), len(other)] for name, (one, other) in pairs.items()},
            "weights": {name: [one.numel(), int(other.count_nonzero())] for name, (one, other) in pairs.items()},
            "parameters": [sum(each[name].numel() for name in parameters) for each in (self.before, state)],
            "multiplications": [sum(int(u[i]) * n for u, n in zip(used, many, strict=True)) for i in (0, 1)],
        }


def lowest(scores: Mapping[str, Tensor], sparsity: float, options: PruneOptions) -> Masks:
    """Masks of the shape of the scores that leave the lowest ones out: of each layer, or with `scope` "global" of
    all, with "lamp" of all by what they are in their layer."""
    if options.scope == "layer" or not scores:
        return {name: _above(each, sparsity) for name, each in scores.items()}
    if options.scope == "lamp":
        scores = {name: lamp(each) for name, each in scores.items()}
    flat = _above(torch.cat([each.flatten() for each in scores.values()]), sparsity)
    parts = torch.split(flat, [each.numel() for each in scores.values()])
    return {name: part.reshape(each.shape) for (name, each), part in zip(scores.items(), parts, strict=True)}


def lamp(scores: Tensor) -> Tensor:
    """Each score's square as a share of the squares of all that are not lower (Lee et al., Layer-adaptive Sparsity for
    the Magnitude-based Pruning, ICLR 2021, arXiv:2010.07611): float64, 1 for the highest, so that no layer ends
    empty."""
    squares = scores.flatten().double().square()
    order = squares.argsort(stable=True)
    beyond = squares[order].flip(0).cumsum(0).flip(0)
    shares = torch.zeros_like(squares)
    shares[order] = squares[order] / beyond.clamp(min=torch.finfo(torch.float64).tiny)
    return shares.reshape(scores.shape)


def _above(scores: Tensor, sparsity: float) -> Tensor:
    """1 but for this share of the lowest scores; of equal ones those further in front go first."""
    mask = torch.ones(scores.numel(), dtype=scores.dtype)
    mask[scores.flatten().argsort(stable=True)[: round(sparsity * scores.numel())]] = 0
    return mask.reshape(scores.shape)
