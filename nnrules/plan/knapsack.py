"""A choice for each layer, so that all together take the fewest instructions in the room that there is; exact.

Two sizes may be bounded: the packed weights, and the flash of everything. The latter is no plain multiple-choice
knapsack, because layers with equal parameters share a function: its code is paid for by the first layer that takes it.
The search keeps, layer by layer, what no other beginning beats in all of instructions, sizes and functions paid for
(Nemhauser and Ullmann, Discrete dynamic programming and capital allocation, 1969, with sets beside the sizes), and what
could still end below a selection that is known to fit, by Lagrange's bound (Everett, Generalized Lagrange multiplier
method, 1963).
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

ROUNDING = 1e-9  # of sums of instructions, relative
NOTHING: frozenset[str] = frozenset()


class Choice(NamedTuple):
    """What a layer may take. `weights`: of the packed weights, in any unit; `flash`: bytes of all constants; `code`:
    bytes of `function`, which the other layers that name it share."""

    instructions: float
    weights: int = 0
    flash: int = 0
    function: str = ""
    code: int = 0


class _State(NamedTuple):
    """A beginning: the choices of the first layers, in the order in which beginnings are compared."""

    instructions: float
    weights: int
    flash: int
    taken: tuple[int, ...]
    paid: frozenset[str]


def cheapest(
    layers: Sequence[Sequence[Choice]], weights: int | None = None, flash: int | None = None
) -> tuple[int, ...] | None:
    """The number of each layer's choice: the fewest instructions, of equal ones the least weights, then flash.

    None where no selection keeps both bounds. A size without a bound is not looked at.
    """
    layers = [[_counted(choice, weights, flash) for choice in layer] for layer in layers]
    flash = weights if flash is None else flash  # what is bounded has a price
    users = Counter(name for layer in layers for name in {choice.function for choice in layer})
    layers = [[_priced(choice, users) for choice in layer] for layer in layers]
    code = {choice.function: choice.code for layer in layers for choice in layer}
    order = _order(layers)
    useful = [_useful(layers[place]) for place in order]
    price, known = (0.0, math.inf) if flash is None else _price(useful, weights, flash)
    states = [_State(0.0, 0, 0, (), NOTHING)]
    for index, layer in enumerate(useful):
        following = [[choice for _, choice in other] for other in useful[index + 1 :]]
        later = frozenset(choice.function for other in following for choice in other)
        most = (
            None if weights is None else weights - sum(min(c.weights for c in other) for other in following),
            None if flash is None else flash - sum(min(c.flash for c in other) for other in following),
        )
        hoped = known - sum(min(c.instructions + price * c.flash for c in other) for other in following)
        hoped += price * (flash or 0) + ROUNDING * (known + price * (flash or 0))
        grown = (_grown(state, number, choice, later) for state in states for number, choice in layer)
        grown = (state for state in grown if state.instructions + price * state.flash <= hoped)
        fitting = (s for s in grown if _within(s.weights, most[0]) and _within(s.flash, most[1]))
        states = _unbeaten(fitting, code)
    if not states:
        return None
    number = dict(zip(order, states[0].taken, strict=True))
    return tuple(number[place] for place in range(len(layers)))


def total_flash(taken: Iterable[Choice]) -> int:
    """Bytes of the constants and of the functions, each once."""
    taken = list(taken)
    return sum(choice.flash for choice in taken) + sum({choice.function: choice.code for choice in taken}.values())


def least_flash(layers: Sequence[Sequence[Choice]]) -> int:
    """The flash of the selection that takes the least."""
    free = [[choice._replace(instructions=0.0) for choice in layer] for layer in layers]
    unbounded = sum(max(choice.flash + choice.code for choice in layer) for layer in layers)
    taken = cheapest(free, flash=unbounded)
    assert taken is not None
    return total_flash(layer[number] for layer, number in zip(layers, taken, strict=True))


def _price(layers: Sequence[Sequence[tuple[int, Choice]]], weights: int | None, flash: int) -> tuple[float, float]:
    """About what a byte of flash is worth, in instructions; and the instructions of a selection that fits, infinite
    where none was found."""
    known, low, high = math.inf, -30.0, 40.0  # powers of two
    for _ in range(40):
        price = 2.0 ** ((low + high) / 2)
        taken = [
            min((choice for _, choice in layer), key=lambda c: c.instructions + price * (c.flash + c.code))
            for layer in layers
        ]
        if total_flash(taken) <= flash and _within(sum(choice.weights for choice in taken), weights):
            known = min(known, sum(choice.instructions for choice in taken))
            high = (low + high) / 2
        else:
            low = (low + high) / 2
    return price, known


def _counted(choice: Choice, weights: int | None, flash: int | None) -> Choice:
    """Without the sizes that nothing bounds; where only the weights are, they are all the flash there is."""
    size = choice.weights if weights is not None else 0
    return choice._replace(weights=size) if flash is not None else Choice(choice.instructions, size, size)


def _priced(choice: Choice, users: Counter[str]) -> Choice:
    """With its code among its own bytes unless another layer may share it."""
    if choice.function and users[choice.function] > 1:
        return choice
    return choice._replace(flash=choice.flash + choice.code, function="", code=0)


def _order(layers: Sequence[Sequence[Choice]]) -> list[int]:
    """The layers' places, those that share functions behind each other: what has been paid for is soon forgotten."""
    first: dict[str, int] = {}
    leaders = []
    for place, layer in enumerate(layers):
        names = {choice.function for choice in layer if choice.function}
        leader = min((first[name] for name in names if name in first), default=place)
        first |= {name: min(leader, first.get(name, leader)) for name in names}
        leaders.append(leader)
    return sorted(range(len(layers)), key=lambda place: (leaders[place], place))


def _useful(layer: Sequence[Choice]) -> list[tuple[int, Choice]]:
    """The choices with their numbers, without those than which another is no worse even if it alone pays for code."""
    kept: list[tuple[int, Choice]] = []
    for number, choice in sorted(enumerate(layer), key=lambda pair: (pair[1][:3], pair[0])):
        if not any(
            other.weights <= choice.weights
            and other.flash + (other.code if other.function != choice.function else 0) <= choice.flash
            for _, other in kept
        ):
            kept.append((number, choice))
    return kept


def _grown(state: _State, number: int, choice: Choice, later: frozenset[str]) -> _State:
    """With a choice for the next layer; functions that no layer after it could use are forgotten."""
    code = 0 if choice.function in state.paid else choice.code
    return _State(
        state.instructions + choice.instructions,
        state.weights + choice.weights,
        state.flash + choice.flash + code,
        (*state.taken, number),
        (state.paid | {choice.function}) & later if choice.code else state.paid & later,
    )


def _within(size: int, most: int | None) -> bool:
    return most is None or size <= most


def _unbeaten(states: Iterable[_State], code: Mapping[str, int]) -> list[_State]:
    """Those than which none has at most the same instructions and sizes, even if it buys the same functions."""
    kept: list[_State] = []
    stairs: dict[frozenset[str], tuple[list[int], list[int]]] = {}  # growing weights, shrinking flash
    for state in sorted(states, key=lambda state: state[:4]):
        if any(_beaten(state, code, paid, *steps) for paid, steps in stairs.items()):
            continue
        kept.append(state)
        heavy, large = stairs.setdefault(state.paid, ([], []))
        at = end = bisect_right(heavy, state.weights)
        while end < len(large) and large[end] >= state.flash:
            end += 1
        heavy[at:end], large[at:end] = [state.weights], [state.flash]
    return kept


def _beaten(
    state: _State, code: Mapping[str, int], paid: frozenset[str], heavy: Sequence[int], large: Sequence[int]
) -> bool:
    at = bisect_right(heavy, state.weights)
    return at > 0 and large[at - 1] + sum(code[name] for name in state.paid - paid) <= state.flash
