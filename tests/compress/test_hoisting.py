"""Quantizers of inputs in an ONNX model: moved ahead, merged, and agreed with the 8 bits before them."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest

from nnrules.compress.aligning import align, take_over
from nnrules.compress.hoisting import hoist, quantizer_of
from nnrules.compress.parameters import Activation
from tests.graph.floats import FloatModel

SHAPE = (3, 8, 8)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: list[np.ndarray] = session.run(None, {"x": np.random.default_rng(1).random((2, *SHAPE), np.float32)})
    return found


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def number(m: FloatModel, name: str, value: float) -> str:
    return m.constant(name, np.array(value, np.float32))


def clip(m: FloatModel, x: str, name: str, low: float = 0.0, high: float = 0.5) -> str:
    return m.node("Clip", [x, number(m, f"{name}.low", low), number(m, f"{name}.high", high)], name)


def pool(m: FloatModel, x: str, name: str = "pool") -> str:
    return m.node("MaxPool", [x], name, kernel_shape=[2, 2], strides=[2, 2])


def moved(model: onnx.ModelProto) -> None:
    """Hoist, and have the same results."""
    before = run(model)
    hoist(model)
    onnx.checker.check_model(model)
    for one, other in zip(before, run(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_clip_goes_ahead_of_what_only_picks_and_moves_values() -> None:
    m = FloatModel(SHAPE)
    pooled = pool(m, m.conv("x", "a", (4, 3, 1, 1)))
    flat = m.node("Flatten", [pooled], "flat")
    built = m.build(m.gemm(clip(m, flat, "clip"), "b", 5, 64))
    moved(built)
    assert kinds(built) == ["Conv", "Clip", "MaxPool", "Flatten", "Gemm"]
    assert quantizer_of(built, built.graph.node[-1].input[0]) == built.graph.node[1].output[0]


def test_steps_by_single_numbers_go_along() -> None:
    """In their order; a layer whose quantizer is no line begins with the value itself."""
    m = FloatModel(SHAPE)
    pooled = pool(m, m.conv("x", "a", (4, 3, 1, 1)))
    line = m.node("Add", [m.node("Mul", [pooled, number(m, "slope", 1.5)], "mul"), number(m, "offset", -0.1)], "add")
    built = m.build(m.conv(clip(m, line, "clip"), "b", (2, 4, 1, 1)))
    moved(built)
    assert kinds(built) == ["Conv", "Mul", "Add", "Clip", "MaxPool", "Conv"]
    assert quantizer_of(built, "x") == "x"


@pytest.mark.parametrize("name", ["negative", "channels", "read twice", "output", "read before"])
def test_what_would_give_other_values_stays(name: str) -> None:
    """A factor below zero turns the largest into the smallest; what others read may not change under them."""
    m = FloatModel(SHAPE)
    first = m.conv("x", "a", (4, 3, 1, 1))
    pooled = pool(m, first)
    more = []
    if name == "negative":
        step = m.node("Mul", [pooled, number(m, "factor", -1.0)], "step")
    elif name == "channels":
        factors = m.constant("factors", np.full((1, 4, 1, 1), 0.5, np.float32))
        step = m.node("Mul", [pooled, factors], "step")
    else:
        step = clip(m, pooled, "step")
        if name == "read twice":
            more = [m.conv(pooled, "c", (2, 4, 1, 1))]
        elif name == "output":
            more = [pooled]
        else:
            more = [m.conv(first, "c", (2, 4, 1, 1))]
    built = m.build(m.conv(step, "b", (2, 4, 1, 1)), *more)
    before = kinds(built)
    moved(built)
    assert kinds(built) == before


def test_what_two_layers_see_is_quantized_once() -> None:
    """Equal ends count, whatever they are called; others do not, nor does what is an output."""
    m = FloatModel(SHAPE)
    a = m.conv("x", "a", (4, 3, 1, 1))
    layers = [
        m.conv(clip(m, a, f"clip{i}", high=high), f"b{i}", (2, 4, 1, 1)) for i, high in enumerate((0.5, 0.5, 0.7))
    ]
    built = m.build(*layers, clip(m, a, "shown"))
    moved(built)
    assert kinds(built).count("Clip") == 3
    inputs = {node.name: node.input[0] for node in built.graph.node}
    assert inputs["b0"] == inputs["b1"] == "clip0"
    assert (inputs["b2"], built.graph.output[3].name) == ("clip2", "shown")


def test_a_quantizer_behind_pools_of_one_value_is_one() -> None:
    """Pools are merged too, so what they are followed by is ahead of them."""
    m = FloatModel(SHAPE)
    a = m.conv("x", "a", (4, 3, 1, 1))
    built = m.build(*(m.conv(clip(m, pool(m, a, f"pool{i}"), f"clip{i}"), f"b{i}", (2, 4, 1, 1)) for i in range(2)))
    moved(built)
    assert kinds(built) == ["Conv", "Clip", "MaxPool", "Conv", "Conv"]


def table(line: Callable[[FloatModel, str], str] | None = None, bits: int = 3) -> tuple[onnx.ModelProto, Activation]:
    """A sum, for which there are no thresholds, in front of a quantizer of few levels of 0.3 from 0; and these."""
    m = FloatModel(SHAPE)
    a = m.node("Add", [m.conv("x", "a", (4, 3, 1, 1)), m.conv("x", "a2", (4, 3, 1, 1))], "sum")
    top = 2**bits - 1
    seen = clip(m, line(m, a) if line else a, "levels", high=0.3 * top)
    return m.build(m.conv(seen, "b", (2, 4, 1, 1))), Activation(0.3, 0)


def levels(real: np.ndarray, chosen: Activation, slope: float, offset: float, top: int = 7) -> np.ndarray:
    """Of the numbers' line."""
    return np.clip(np.rint((slope * real + offset) / chosen.scale), 0, top)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (1.7, 0.0), (0.6, 0.3), (0.6, 0.1)])
@pytest.mark.parametrize("given", [Activation(0.021, -128), Activation(0.031, -100), Activation(0.0131, 0)])
def test_rounding_twice_is_rounding_once(given: Activation, slope: float, offset: float) -> None:
    """To 8 bits, then to a level; as they were measured, the 8 bits come out on the other side of some borders."""

    def line(m: FloatModel, x: str) -> str:
        scaled = m.node("Mul", [x, number(m, "slope", slope)], "mul") if slope != 1 else x
        return m.node("Add", [scaled, number(m, "offset", offset)], "add") if offset else scaled

    model, chosen = table(line)
    before = {"x": Activation(1 / 255, -128), "sum": given, "levels": chosen}
    found = align(model, before, {"levels": chosen})
    assert {name: each for name, each in found.items() if name != "sum"} == {"x": before["x"], "levels": chosen}

    ends = [(end - given.zero_point) * given.scale for end in (-128, 127)]
    real = np.linspace(*ends, 20_011)
    wrong = {}
    for name, each in (("before", given), ("after", found["sum"])):
        eight = np.clip(np.rint(real / each.scale) + each.zero_point, -128, 127)
        twice = levels((eight - each.zero_point) * each.scale, chosen, slope, offset)
        wrong[name] = float(np.mean(twice != levels(real, chosen, slope, offset)))
    assert wrong["after"] < 1e-3
    assert wrong["before"] > 0.002
    low, high = ((end - found["sum"].zero_point) * found["sum"].scale for end in (-128, 127))
    assert low <= ends[0] + found["sum"].scale
    assert high >= ends[1] - found["sum"].scale
    assert (found["sum"].zero_point == 0) == (given.zero_point == 0)


def test_eight_bits_that_are_coarse_already_stay() -> None:
    """A level that is finer than a step of theirs."""
    model, chosen = table()
    before = {"sum": Activation(0.4, -128), "levels": chosen}
    assert align(model, before, {"levels": chosen}) == before


@pytest.mark.parametrize(("scale", "is_taken"), [(0.01, True), (0.006, False)])
def test_eight_bits_that_a_layer_chose_are_those_of_the_value(scale: float, is_taken: bool) -> None:
    """Where they cover what was measured: what cuts it to them goes, and all readers have the same."""
    m = FloatModel(SHAPE)
    a = m.node("Add", [m.conv("x", "a", (4, 3, 1, 1)), m.conv("x", "a2", (4, 3, 1, 1))], "sum")
    model = m.build(m.conv(clip(m, a, "levels", high=255 * scale), "b", (2, 4, 1, 1)), m.conv(a, "c", (2, 4, 1, 1)))
    stated = {"levels": Activation(scale, -128)}
    found = take_over(model, {"sum": Activation(0.008, -128)}, stated)
    assert found == ({"sum": Activation(scale, -128)} if is_taken else stated)
    assert ("Clip" in kinds(model)) is not is_taken
    assert {node.name: node.input[0] for node in model.graph.node}["b"] == ("sum" if is_taken else "levels")


def test_few_levels_are_not_those_of_the_value() -> None:
    """Nor would they be 8 bits."""
    model, chosen = table(bits=4)
    stated = {"levels": chosen}
    assert take_over(model, {"sum": Activation(0.01, -128)}, stated) == stated
    assert "Clip" in kinds(model)
