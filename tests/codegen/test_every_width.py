"""Weights of 8, 4, 3, 2 and 1 bits with inputs of 8, 4, 3 and 2: every engine and the C compute the same integers."""

import functools
import itertools

import numpy as np
import pytest

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.after_training import linear_layers, prepare
from nnrules.compress.arrays import store, weights
from nnrules.compress.parameters import channel_axis
from nnrules.compress.prepared import Prepared
from nnrules.compress.qdq import quantized_model
from nnrules.compress.quantizers import mse
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.graph.requant import Requantization
from nnrules.graph.thresholds import Thresholds
from nnrules.stages.quantize import calibrated
from tests.codegen.plans import whole_plan
from tests.codegen.test_random_graphs import check
from tests.graph.floats import FloatModel
from tests.needs import need_target

SHAPE = (3, 6, 6)
WEIGHTS, INPUTS = (8, 4, 3, 2, 1), (8, 4, 3, 2)


class Pictures:
    """Sixteen, with values of both signs."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng(index).normal(0, 1, SHAPE).astype(np.float32), 0


@functools.cache
def graph() -> Graph:
    """Side by side for each pair of widths: a convolution, a depthwise one, a pointwise one, and a fully connected
    layer; Relu behind the first one only, so that there are inputs of both signs too."""
    m = FloatModel(SHAPE)
    layers, outputs = {}, []
    for bits, inputs in itertools.product(WEIGHTS, INPUTS):
        name = f"w{bits}a{inputs}"
        x = m.node("Relu", [m.conv("x", f"{name}c", (5, 3, 3, 3), pads=[1, 1, 1, 1])], f"{name}r")
        x = m.conv(x, f"{name}d", (5, 1, 3, 3), group=5)
        x = m.conv(x, f"{name}p", (9, 5, 1, 1))
        x = m.gemm(m.node("Flatten", [x], f"{name}f"), f"{name}g", 3, 9 * 16)
        layers |= {f"{name}{kind}": (max(bits, 2), 8 if kind == "c" else inputs) for kind in "cdpg"}
        outputs.append(x)
    data = Pictures()
    options = QuantizeOptions(method="ptq", layers=layers, correct_bias=False)

    def batches() -> list[list[np.ndarray]]:
        return [[np.stack([data[index][0] for index in range(len(data))])]]

    found = prepare(m.build(*outputs), options, batches, mse.choose_range, "here")
    for node in linear_layers(found.model):
        if node.name.startswith("w1"):
            to_signs(found, node.input[1], channel_axis(node))
    record = calibrated(found.model, data, options, "here", found.stated, found.codes)
    return lower(quantized_model(found.model, record), "random")


def to_signs(found: Prepared, name: str, axis: int) -> None:
    """Weights of one bit: a sign times the mean magnitude."""
    real = weights(found.model, name)
    signs = np.where(real >= 0, 1, -1).astype(np.int8)
    mean = np.abs(real).mean(tuple(each for each in range(real.ndim) if each != axis), keepdims=True)
    found.codes[name] = signs
    store(found.model, name, signs * mean)


def test_every_width_is_there() -> None:
    """As few bits as were asked for, and outputs by thresholds as well as by multipliers."""
    operators = {node.name: node.operator for node in graph().nodes if hasattr(node.operator, "weights")}
    for bits, inputs in itertools.product(WEIGHTS, INPUTS):
        for kind in "cdpg":
            assert operators[f"w{bits}a{inputs}{kind}"].weight_bits <= bits  # type: ignore[attr-defined]
        for kind in "cdp":
            made: Requantization | Thresholds = operators[f"w{bits}a{inputs}{kind}"].requantization  # type: ignore[attr-defined]
            assert made.hi - made.lo < 2**inputs
    kinds = {type(each.requantization) for each in operators.values()}  # type: ignore[attr-defined]
    assert kinds == {Requantization, Thresholds}


@pytest.mark.parametrize("target", ["cortex-m7", "riscv32"])
def test_every_width_is_exact(target: str) -> None:
    check(graph(), target, whole_plan(graph(), need_target(target).isa))
