"""Output channels, input channels and stripes chosen together under a budget of multiplications (Jeong, Lee, An, Son
and Song, Optimal channel selection with discrete QCQP, AISTATS 2022).

    max  sum I[j, ab, i] q[j, ab] v[i]
    with q[j, ab] <= u[j] <= sum_ab q[j, ab],  v of a layer = u of those that make its input,
         sum over layers of places * (sum q) * (sum v) <= budget

u, v and q are 0 or 1. A greedy descent takes what is worth least for what it costs, from several starting points; a
local search then tries each channel the other way round.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

BIASES = (
    1.0,
    0.7,
    1.4,
    0.5,
    2.0,
)  # of the worth of channels against that of stripes, from each of which a descent starts
TRIALS, ROUNDS = 24, 2  # channels that the local search tries, and how often
SHARE = 4  # of what is over the budget, that is taken at once


@dataclasses.dataclass(frozen=True)
class Layer:
    """``importance`` (out, positions, in), not negative; ``made`` (out,) and ``taken`` (in,): numbers of the channels,
    the number of channels itself where they stay; ``places``: how often each weight is multiplied; ``closed``: all
    stripes of what is there stay."""

    importance: Tensor
    made: Tensor
    taken: Tensor
    places: int
    closed: bool = False


@dataclasses.dataclass(frozen=True)
class Problem:
    """``ties`` (channels,): the tie of each channel, one of which stays at least; ``own_worth``, ``own_cost``
    (channels,): what a channel is worth and costs beside the layers (depthwise ones); ``stays``, bool (channels,)."""

    layers: list[Layer]
    ties: Tensor
    own_worth: Tensor
    own_cost: Tensor
    stays: Tensor


class Choice:
    """``alive``: bool (channels + 1,), the last one for those that stay; ``stripes``: of each layer bool (out,
    positions)."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.alive = torch.ones(len(problem.ties) + 1, dtype=torch.bool)
        self.stripes = [torch.ones(each.importance.shape[:2], dtype=torch.bool) for each in problem.layers]

    def copy(self) -> Choice:
        """Independent of this."""
        other = Choice(self.problem)
        other.alive, other.stripes = self.alive.clone(), [each.clone() for each in self.stripes]
        return other

    def worth(self) -> float:
        """The objective."""
        own = self.problem.own_worth[self.alive[:-1]].sum()
        return float(own + sum((self.stripe_worths(n) * self.stripes[n]).sum() for n in range(len(self.stripes))))

    def cost(self) -> float:
        """Multiplications."""
        own = self.problem.own_cost[self.alive[:-1]].sum()
        return float(own + sum(self.stripe_cost(n) * self.stripes[n].sum() for n in range(len(self.stripes))))

    def stripe_worths(self, n: int) -> Tensor:
        """Of each stripe of a layer (out, positions)."""
        layer = self.problem.layers[n]
        return layer.importance @ self.alive[layer.taken].to(layer.importance.dtype)

    def stripe_cost(self, n: int) -> int:
        """Of any stripe of a layer."""
        layer = self.problem.layers[n]
        return layer.places * int(self.alive[layer.taken].sum())

    def drop(self, channels: Tensor) -> None:
        """Take out these channels, by number, and the stripes that make them."""
        self.alive[channels] = False
        for layer, stripes in zip(self.problem.layers, self.stripes, strict=True):
            stripes.logical_and_(self.alive[layer.made].unsqueeze(1))

    def put_back(self, channel: int) -> None:
        """Bring back a channel, with all stripes that make it."""
        self.alive[channel] = True
        for layer, stripes in zip(self.problem.layers, self.stripes, strict=True):
            stripes[layer.made == channel] = True

    def channel_ratios(self, there: bool) -> Tensor:
        """What each channel is worth for what it costs (channels,), of those that can go (``there``) or come back with
        all their stripes; infinite, or minus so, for others."""
        worth, cost = torch.zeros(2, len(self.alive), dtype=torch.float64)
        for n, layer in enumerate(self.problem.layers):
            stripes = self.stripes[n]
            made = stripes if there else torch.ones_like(stripes)
            worth.index_add_(0, layer.made, (self.stripe_worths(n) * made).sum(1))
            cost.index_add_(0, layer.made, (made.sum(1) * self.stripe_cost(n)).double())
            taken = torch.einsum("jpi,jp->i", layer.importance, stripes.to(layer.importance.dtype))
            worth.index_add_(0, layer.taken, taken)
            cost.index_add_(0, layer.taken, torch.full_like(taken, float(layer.places * stripes.sum())))
        ratios = (worth[:-1] + self.problem.own_worth) / (cost[:-1] + self.problem.own_cost).clamp(min=1e-9)
        if not there:
            return torch.where(self.alive[:-1], -torch.inf, ratios)
        many = torch.bincount(self.problem.ties[self.alive[:-1]], minlength=len(ratios) + 1)
        stays = ~self.alive[:-1] | self.problem.stays | (many[self.problem.ties] < 2)
        return torch.where(stays, torch.inf, ratios)

    def stripe_ratios(self, n: int, there: bool) -> Tensor:
        """What each stripe of a layer is worth for what it costs, of those that can go (``there``) or come back;
        infinite, or minus so, for others."""
        layer, stripes = self.problem.layers[n], self.stripes[n]
        ratios = self.stripe_worths(n) / max(self.stripe_cost(n), 1)
        if not there:
            back = ~stripes & self.alive[layer.made].unsqueeze(1)
            return torch.where(back, ratios, -torch.inf)
        best = torch.where(stripes, ratios, -torch.inf).argmax(1, keepdim=True)
        last = torch.zeros_like(stripes).scatter_(1, best, torch.ones_like(best, dtype=torch.bool))
        return (
            torch.where(stripes & ~last, ratios, torch.inf) if not layer.closed else torch.full_like(ratios, torch.inf)
        )


def choose(problem: Problem, budget: float, thorough: bool = True) -> Choice:
    """The best choice that was found; what costs least, if nothing keeps the budget. Not ``thorough``: by one descent,
    without a search."""
    found = [
        _filled(_descended(Choice(problem), budget, bias), budget) for bias in (BIASES if thorough else BIASES[:1])
    ]
    kept = [each for each in found if each.cost() <= budget]
    if not kept:
        return min(found, key=Choice.cost)
    best = max(kept, key=Choice.worth)
    return _searched(best, budget) if thorough else best


def _descended(choice: Choice, budget: float, bias: float) -> Choice:
    """Take out stripes and channels with the lowest ratio, ``bias`` times that of channels, until the budget is kept or
    nothing can go; of a tie one channel at once."""
    ties = [(choice.problem.ties == each).nonzero().flatten() for each in sorted(set(choice.problem.ties.tolist()))]
    while (excess := choice.cost() - budget) > 0:
        ratios = choice.channel_ratios(there=True) * bias
        firsts = [members[ratios[members].argmin()] for members in ties]
        stripes = [choice.stripe_ratios(n, there=True) for n in range(len(choice.stripes))]
        costs = [torch.full((each.numel(),), float(choice.stripe_cost(n))) for n, each in enumerate(stripes)]
        flat = torch.cat([each.flatten() for each in stripes])
        order = flat.argsort(stable=True)
        many = int((torch.cat(costs)[order].cumsum(0) <= excess / SHARE).sum()) + 1
        few = flat[order[:many]]
        few = few[few.isfinite()]  # those that can go
        worst = min((ratios[each] for each in firsts), default=torch.tensor(torch.inf))
        if torch.isinf(torch.minimum(worst, flat.min())):
            return choice
        limit = torch.minimum(few.max(), torch.maximum(worst, flat.min())) if len(few) else worst
        for each, own in zip(choice.stripes, stripes, strict=True):
            each.logical_and_(own > limit)
        for channel in firsts:
            if ratios[channel] <= limit and choice.cost() > budget:
                choice.drop(channel)
    return choice


def _filled(choice: Choice, budget: float) -> Choice:
    """Bring back the stripes with the highest ratio that the budget has room for."""
    left = budget - choice.cost()
    ratios = [choice.stripe_ratios(n, there=False).flatten() for n in range(len(choice.stripes))]
    costs = [choice.stripe_cost(n) for n in range(len(ratios))]
    where = [(n, index) for n, each in enumerate(ratios) for index in range(len(each))]
    for at in torch.cat(ratios).argsort(descending=True, stable=True).tolist():
        n, index = where[at]
        if ratios[n][index] <= 0 or left < min(costs):
            break
        if costs[n] <= left:
            choice.stripes[n].view(-1)[index] = True
            left -= costs[n]
    return choice


def _searched(choice: Choice, budget: float) -> Choice:
    """Try channels the other way round, those first that matter least or would most, and keep what is worth more."""
    worth = choice.worth()
    for _ in range(ROUNDS):
        out, back = choice.channel_ratios(there=True), -choice.channel_ratios(there=False)
        before = worth
        for ratios in (out, back):
            for channel in ratios.argsort(stable=True)[:TRIALS].tolist():
                if torch.isinf(ratios[channel]):
                    break
                other = choice.copy()
                if ratios is out:
                    other.drop(torch.tensor([channel]))
                else:
                    other.put_back(channel)
                other = _filled(_descended(other, budget, 1.0), budget)
                if other.cost() <= budget and other.worth() > worth:
                    choice, worth = other, other.worth()
        if worth == before:
            break
    return choice
