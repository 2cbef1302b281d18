"""Bits of weights by layer: the best choice there is, from what was measured."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.stages import QuantizeOptions
from nnrules.catalog.toolchain import load_toolchain, toolchain_path
from nnrules.compress.after_training import linear_layers
from nnrules.compress.quantizers.mixed_precision import Spent, allot, choose, draw, size_of
from nnrules.compress.widths import with_allotted
from nnrules.error import UserError
from nnrules.plan.costs import Costs, costs_file, load_costs
from nnrules.plan.planner import make_plan
from nnrules.stages.allot import of_width, spent
from tests.compress.test_after_training import SHAPE, model, run
from tests.graph.floats import FloatModel


def limits(**given: Any) -> QuantizeOptions:
    return QuantizeOptions(method="mixed_precision", **given)


@pytest.mark.parametrize("seed", range(20))
def test_no_other_choice_is_better(seed: int) -> None:
    """Against all choices; of equal ones the smallest."""
    generator = np.random.default_rng(seed)
    names = [f"layer{index}" for index in range(5)]
    growths = {name: {bits: round(generator.exponential() / bits, 2) for bits in (2, 3, 4, 8)} for name in names}
    counts = {name: int(generator.integers(1, 500)) for name in names}
    size = sum(size_of(count, 2) for count in counts.values()) + int(generator.integers(0, 600))

    spent = Spent({name: {bits: int(generator.integers(1, 1000)) for bits in (2, 3, 4, 8)} for name in names}, 500)
    count = 500 + sum(min(layer.values()) for layer in spent.layers.values()) + int(generator.integers(0, 1500))

    def told(widths: dict[str, int]) -> tuple[float, int, int]:
        growth = sum(growths[name][bits] for name, bits in widths.items())
        taken = 500 + sum(spent.layers[name][bits] for name, bits in widths.items())
        return round(growth, 6), sum(size_of(counts[name], bits) for name, bits in widths.items()), taken

    every = [dict(zip(names, each, strict=True)) for each in itertools.product((2, 3, 4, 8), repeat=len(names))]
    within = [told(each) for each in every if told(each)[1] <= size]
    assert told(choose(growths, counts, limits(size=size), "here"))[:2] == min(within)[:2]
    fast = [told(each) for each in every if told(each)[2] <= count]
    assert told(choose(growths, counts, limits(instructions=count), "here", spent))[0] == min(fast)[0]
    both = [each for each in within if each[2] <= count]
    if both:
        found = choose(growths, counts, limits(size=size, instructions=count), "here", spent)
        assert told(found) == min(both)
    else:
        least = min(each[2] for each in within)
        with pytest.raises(UserError, match=f"say {least} or more"):
            choose(growths, counts, limits(size=size, instructions=count), "here", spent)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"size": 1000},
            "tiny.quantize.size=1000: the weights take 1,250 bytes at their fewest bits; say 1250 or more",
        ),
        (
            {"instructions": 900},
            "tiny.quantize.instructions=900: all layers take 1,000 instructions at the least on cortex-m7; say 1000"
            " or more",
        ),
        (
            {"size": 1500, "instructions": 1200, "target": "cortex-m55"},
            "tiny.quantize.instructions=1200: all layers take 2,100 instructions at the least on cortex-m55 within"
            " 1,500 bytes; say 2100 or more",
        ),
    ],
)
def test_a_limit_that_is_too_low(given: dict[str, Any], expected: str) -> None:
    """Eight bits take fewer instructions, and more bytes."""
    with pytest.raises(UserError) as caught:
        choose(
            {"a": {2: 0.0, 8: 0.0}}, {"a": 5000}, limits(**given), "tiny.quantize", Spent({"a": {2: 2000, 8: 900}}, 100)
        )
    assert str(caught.value) == expected


def test_what_the_loss_grows_by_is_measured(tmp_path: Path) -> None:
    """One layer at a time, the others as they are; layers that the options speak of keep what these say."""
    exact, changed = model(), []
    outputs = run(exact)

    def loss(tried: onnx.ModelProto) -> float:
        pairs = zip(linear_layers(tried), linear_layers(exact), strict=True)
        held = {each.name: each for each in exact.graph.initializer}
        now = {each.name: each for each in tried.graph.initializer}
        changed.append([a.name for a, b in pairs if now[a.input[1]] != held[b.input[1]]])
        return float(((run(tried) - outputs) ** 2).mean())

    options = QuantizeOptions(
        method="mixed_precision", base="ptq", activation_bits=4, size=188, layers={"c": (4, 4)}, skip=("a",)
    )
    found = allot(exact, options, loss, "here")
    assert changed == [[], ["b"], ["b"], ["b"], ["b"]]
    assert {name: (each.weights, each.inputs, each.growth == {}) for name, each in found.items()} == {
        "a": (8, 8, True), "b": (2, 4, False), "c": (4, 4, True),
    }  # fmt: skip
    growth = list(found["b"].growth.values())
    assert list(found["b"].growth) == ["2", "3", "4", "8"]
    assert growth == sorted(growth, reverse=True)
    assert growth[0] > 0
    file = tmp_path / "widths.json"
    file.write_bytes(msgspec.json.encode(found))
    assert with_allotted(options, file).layers == {"b": (2, 4), "c": (4, 4)}
    draw(found, tmp_path / "widths.png")
    assert (tmp_path / "widths.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("base", ["lsq", "ptq"])
def test_layers_that_are_not_chosen_for(base: str, tmp_path: Path) -> None:
    """One that runs twice is one; a transposed convolution has 8 bits, as its kernels do; a base that trains does not
    know it, nor what is no layer of torch's."""
    m = FloatModel(SHAPE)
    shared = ["a.weight", "a.bias"]
    first = m.conv("x", "a", (3, 3, 1, 1))
    again = m.node("Conv", [m.node("Relu", [first], "relu"), *shared], "a_2", kernel_shape=[1, 1])
    up = m.node("ConvTranspose", [again, m.weights("up.weight", 3, 2, 2, 2)], "up", strides=[2, 2])
    built = m.build(m.node("Conv", [up, m.weights("w", 2, 2, 1, 1)], "conv", kernel_shape=[1, 1]))
    options = QuantizeOptions(method="mixed_precision", base=base, activation_bits=4, size=40, last_bits=4)
    found = allot(built, options, lambda tried: 0.0, "here")
    assert {name: (each.weights, each.inputs, each.skipped) for name, each in found.items()} == {
        "a": (2, 8, False), "up": (8, 8, True), "conv": (8, 8, True),
    } if base == "lsq" else {"a": (2, 8, False), "up": (8, 4, False), "conv": (2, 8, False)}  # fmt: skip
    file = tmp_path / "widths.json"
    file.write_bytes(msgspec.json.encode(found))
    assert set(with_allotted(options, file).layers) == ({"a"} if base == "lsq" else {"a", "up", "conv"})


class Noise:
    """Inputs of `model`."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng(index).random(SHAPE, np.float32), 0


def test_instructions_are_those_of_the_kernels_that_a_target_has() -> None:
    """Of each layer at each width that it may have, as measured there; what has no weights is counted beside them."""
    options = limits(instructions=1, target="cortex-m7", activation_bits=4, layers={"b": (8, 8)}, skip=("a",))
    toolchain, costs = load_toolchain(toolchain_path("cortex-m7")), load_costs(costs_file("cortex-m7"))
    kernels = load_kernels()
    found = spent(model(), Noise(), options, {"a": [8], "b": [8], "c": [2, 8]}, kernels, toolchain.isa, costs)
    assert {name: list(each) for name, each in found.layers.items()} == {"a": [8], "b": [8], "c": [2, 8]}
    wide, narrow = (of_width(model(), Noise(), options, {"a": 8, "b": 8, "c": bits}) for bits in (8, 2))
    nodes = {node.name: node.operator for node in narrow.nodes}
    assert [nodes[name].weight_bits for name in "abc"] == [8, 8, 2]
    for graph, bits in ((wide, 8), (narrow, 2)):
        layers = make_plan(graph, kernels, "cortex-m7", toolchain.isa, costs=costs).layers
        every = sum(round(layer.instructions) for layer in layers)
        assert sum(each.get(bits, each[8]) for each in found.layers.values()) + found.rest == every
    signs = of_width(model(), Noise(), limits(base="dorefa", layers={"c": (1, 8)}), {"a": 8, "b": 8, "c": 1})
    assert [node.operator.weight_bits for node in signs.nodes if node.name == "c"] == [1]
    portable = spent(model(), Noise(), options, {"a": [8], "b": [8], "c": [2, 8]}, kernels, ("portable",), Costs())
    assert portable.layers["c"][8] > 2 * found.layers["c"][8]
