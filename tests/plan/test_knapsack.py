"""The knapsack against every selection there is: bounds on weights and flash, and functions that layers share."""

import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from nnrules.plan.knapsack import Choice, cheapest, least_flash, total_flash

CODE = {"": 0, "f": 40, "g": 7, "h": 300}
SIZES = st.integers(0, 60)
Layers = list[list[Choice]]


@st.composite
def networks(draw: st.DrawFn) -> Layers:
    """Up to five layers, some of them equal, with a few functions among them."""
    kinds = [
        [
            Choice(float(draw(st.integers(0, 30))), draw(SIZES), draw(SIZES), name, CODE[name])
            for name in draw(st.lists(st.sampled_from(sorted(CODE)), min_size=1, max_size=4))
        ]
        for _ in range(draw(st.integers(1, 3)))
    ]
    return [kinds[number] for number in draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=5))]


def chosen(layers: Layers, numbers: Sequence[int]) -> list[Choice]:
    """The choices by their numbers."""
    return [layer[number] for layer, number in zip(layers, numbers, strict=True)]


def figures(taken: Sequence[Choice]) -> tuple[float, int, int]:
    """Instructions, weights and flash, each function once."""
    code = sum(CODE[name] for name in {choice.function for choice in taken})
    sums = sum(c.instructions for c in taken), sum(c.weights for c in taken), sum(c.flash for c in taken)
    return sums[0], sums[1], sums[2] + code


BOUNDS = st.one_of(st.none(), st.integers(0, 400))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(networks(), BOUNDS, BOUNDS)
def test_no_selection_within_the_bounds_takes_fewer_instructions(
    layers: Layers, weights: int | None, flash: int | None
) -> None:
    every = [figures(taken) for taken in itertools.product(*layers)]
    fitting = [one for one in every if (weights is None or one[1] <= weights) and (flash is None or one[2] <= flash)]
    numbers = cheapest(layers, weights, flash)
    assert (numbers is None) == (not fitting)
    if numbers is not None:
        taken = chosen(layers, numbers)
        assert figures(taken) in fitting
        assert figures(taken)[0] == min(fitting)[0]
        assert total_flash(taken) == figures(taken)[2]
    assert least_flash(layers) == min(one[2] for one in every)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(networks(), BOUNDS)
def test_more_flash_never_costs_instructions(layers: Layers, weights: int | None) -> None:
    least = None
    for flash in range(0, 700, 20):
        numbers = cheapest(layers, weights, flash)
        if least is not None:
            assert numbers is not None
        if numbers is not None:
            now = figures(chosen(layers, numbers))[0]
            assert least is None or now <= least
            least = now


def test_a_function_is_paid_for_once() -> None:
    """Apart, the small one is better for either layer; together they share the fast one."""
    layer = [Choice(10, 0, 20), Choice(5, 0, 0, "f", 40)]
    assert cheapest([layer], flash=39) == (0,)
    assert cheapest([layer, layer], flash=40) == (1, 1)
    assert cheapest([layer, [Choice(1, 0, 1)], layer], flash=41) == (1, 0, 1)


def test_many_equal_layers_are_soon_chosen_for() -> None:
    """30 layers, three kinds in turn, seven functions each: there are 7 ** 30 selections."""
    kinds = [
        [Choice(1000 - 300 * n / (n + 1) - kind, 0, 900 + 131 * n, f"{kind} {n}", 200 + 50 * (n % 3)) for n in range(7)]
        for kind in range(3)
    ]
    layers = [kinds[number % 3] for number in range(30)]
    least = least_flash(layers)
    numbers = cheapest(layers, flash=least + 10_000)
    assert numbers is not None
    assert least + 9_000 < total_flash(chosen(layers, numbers)) <= least + 10_000
