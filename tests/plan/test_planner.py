"""Kernel selection, sharing of memory, and their refusals."""

import msgspec
import numpy as np
import pytest

from nnrules.catalog.kernel import Kernel, load_kernels
from nnrules.error import UserError
from nnrules.graph.ir import Graph
from nnrules.graph.lowering import lower
from nnrules.graph.ops.concat import Concat
from nnrules.graph.ops.reshape import Reshape
from nnrules.graph.requant import Requantization
from nnrules.plan.planner import Ram, make_plan
from nnrules.plan.record import Plan, dump_plan
from tests.graph.floats import FloatModel
from tests.graph.test_lowering import quantized
from tests.plan.test_schedule import LARGEST, Steps, average, network


def graph() -> Graph:
    """Convolution, sigmoid, flatten, fully connected."""
    m = FloatModel((3, 8, 8))
    sigmoid = m.node("Sigmoid", [m.conv("x", "conv", (8, 3, 3, 3))], "sigmoid")
    return lower(quantized(m.build(m.gemm(m.node("Flatten", [sigmoid], "flat"), "fc", 10, 288)), (3, 8, 8)), "net")


def test_element_wise_layers_and_views_share_memory() -> None:
    plan = make_plan(graph(), load_kernels(), "x86-64", ("portable",))
    slots = {slot.name: (slot.offset, slot.bytes) for slot in plan.tensors}
    assert slots["conv"] == slots["sigmoid"] == slots["sigmoid/288"]
    assert [layer.in_place for layer in plan.layers] == [False, True, False, False]
    assert plan.arena_bytes == plan.live_bytes


def test_the_cheapest_fitting_kernel_wins_and_the_others_say_why_not() -> None:
    dsp = make_plan(graph(), load_kernels(), "cortex-m7", ("armv7em", "portable")).layers[0]
    assert dsp.kernel == "conv2d_dense_s8__armv7em"
    reasons = {refusal.kernel: refusal.reason for refusal in dsp.refused}
    assert reasons["conv2d_1x1_s8__armv7em (wide=1)"].startswith("needs k_h == 1")
    assert reasons["conv2d_s8__portable"].startswith("costs ")
    portable = make_plan(graph(), load_kernels(), "riscv32", ("portable",)).layers[0]
    assert portable.kernel == "conv2d_s8__portable"
    assert {r.kernel: r.reason for r in portable.refused}["conv2d_winograd_s8__armv7em"] == "needs armv7em"


def test_a_layer_without_a_kernel_is_refused_by_name() -> None:
    kernels: list[Kernel] = [
        msgspec.structs.replace(k, when=("groups == 2",)) for k in load_kernels() if k.name == "conv2d_s8__portable"
    ]
    with pytest.raises(UserError) as caught:
        make_plan(graph(), kernels, "x86-64", ("portable",))
    assert str(caught.value) == (
        "net: layer 'conv': conv2d_s8__portable needs groups == 2; add a kernel under kernels/ or change the layer"
    )


def of_two_inputs(flat: bool = False) -> Graph:
    """Two images side by side."""
    same = Requantization(np.full(2, 2**30, np.int32), np.full(2, 2, np.uint8), 0, -128, 127)
    steps: Steps = [("y", ("a", "b"), Concat(axis=2, x_zero_points=(0, 0), requantization=same))]
    steps += [("flat", ("y",), Reshape(shape=(176,)))] if flat else []
    return network({"a": (8, 11, 1), "b": (8, 11, 1)}, steps, ("flat" if flat else "y",))


def streaming(graph: Graph) -> Plan:
    """With the least RAM."""
    return make_plan(graph, load_kernels(), "x86-64", ("portable",), ram=Ram(stream=True, least=True))


def test_layers_that_an_image_has_to_wait_for_let_no_rows_pass() -> None:
    """A head that ends before another one reads the image, one that does so after it, and one that sees all rows."""
    stem: Steps = [("t", ("x",), LARGEST)]
    flat = Reshape(shape=(12,))
    pooled, early = ([("mean", (of,), average(24)), ("vector", ("mean",), flat)] for of in ("t", "x"))
    again: Steps = [("u", ("t",), LARGEST), ("y", ("u",), LARGEST)]
    for steps, stops in (
        ([*stem, *pooled, *again], ("vector",)),
        ([*stem, *again, *pooled], ()),
        ([*stem, *again, ("vector", ("t",), Reshape(shape=(288,)))], ("vector",)),
        ([*early, *stem, *again], ("vector",)),
    ):
        plan = streaming(network({"x": (24, 6, 2)}, steps, ("vector", "y")))
        assert plan.stops == stops
        assert plan.hindrances == (("no rows stream through 'vector'",) if stops else ())
        assert plan.flow or stops
        assert b"held" not in dump_plan(plan)
