"""Every operator: numpy reference, torch simulation and ONNX Runtime on the emitted form agree to the integer."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nnrules.error import UserError
from nnrules.graph.emit import integer_model
from nnrules.graph.ir import Graph, Node, Tensor, dump, load
from nnrules.graph.operator import Operator, Shape
from nnrules.graph.ops import OPERATORS
from nnrules.graph.ops.add import Add
from tests.cases import CASES, Case
from tests.cases.case import INT8

QUICK = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def single(operator: Operator, shapes: list[Shape]) -> Graph:
    """A graph of one node."""
    names = tuple(f"x{index}" for index in range(len(shapes)))
    tensors = {n: Tensor(name=n, shape=s, scale=1.0, zero_point=0) for n, s in zip(names, shapes, strict=True)}
    tensors["y"] = Tensor(name="y", shape=operator.infer(*shapes), scale=1.0, zero_point=0, dtype=operator.output_type)
    node = Node(name="y", inputs=names, output="y", operator=operator)
    return Graph(name="single", inputs=names, outputs=("y",), tensors=tensors, nodes=(node,))


def by_onnxruntime(graph: Graph, inputs: tuple[np.ndarray, ...]) -> np.ndarray:
    session = onnxruntime.InferenceSession(integer_model(graph).SerializeToString())
    nchw = [np.ascontiguousarray(np.moveaxis(x, -1, 1)) if x.ndim == 4 else x for x in inputs]
    (y,) = session.run(["y"], dict(zip(graph.inputs, nchw, strict=True)))
    return np.moveaxis(y, 1, -1) if y.ndim == 4 else y


def test_every_operator_has_cases() -> None:
    assert set(CASES) == set(OPERATORS)


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_engines_agree(op: str) -> None:
    @QUICK
    @given(case=CASES[op])
    def check(case: Case) -> None:
        graph = single(case.operator, case.shapes)
        expected = case.operator.reference(*case.inputs)
        assert expected.dtype == case.operator.output_type
        assert expected.shape[1:] == graph.tensors["y"].shape
        simulated = case.operator.simulate(torch, *(torch.as_tensor(x.astype(np.float64)) for x in case.inputs))
        np.testing.assert_array_equal(simulated.numpy(), expected)
        np.testing.assert_array_equal(by_onnxruntime(graph, case.inputs), expected)

    check()


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_the_graph_file_keeps_everything(op: str, tmp_path) -> None:
    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(case=CASES[op])
    def check(case: Case) -> None:
        stored = dump(single(case.operator, case.shapes))
        (tmp_path / "graph.json").write_bytes(stored)
        assert dump(load(tmp_path / "graph.json")) == stored

    check()


@QUICK
@given(scale=st.floats(1e-6, 100.0), zero_point=st.integers(-128, 127), acc=st.integers(-(2**20), 2**20))
@example(scale=0.5, zero_point=0, acc=1)
@example(scale=0.4999999999, zero_point=0, acc=-(2**20))
@example(scale=3.9999999999999996, zero_point=0, acc=7)
def test_requantization_is_within_half_a_step(scale: float, zero_point: int, acc: int) -> None:
    from nnrules.graph.requant import channel_requantization

    rule = channel_requantization(np.array([scale]), np.array([2**20]), zero_point, (-128, 127), "here")
    exact = np.clip(acc * scale + zero_point, -128, 127)
    assert abs(int(rule.apply(np.array([acc]))[0]) - exact) <= 0.5 + 2**20 * 2**-32 * max(1.0, 2.0 * scale)


@QUICK
@given(ratios=st.tuples(st.floats(1e-4, 2.0**13), st.floats(1e-4, 2.0**13)), x=st.tuples(INT8, INT8))
@example(ratios=(0.99999999, 0.5), x=(127, -128))
def test_addition_is_within_a_step(ratios: tuple[float, float], x: tuple[int, int]) -> None:
    add = Add.of(ratios, (3, -5), 7, (-128, 127), "here")
    exact = np.clip((x[0] - 3) * ratios[0] + (x[1] + 5) * ratios[1] + 7, -128, 127)
    got = int(add.reference(np.array([x[0]], np.int8), np.array([x[1]], np.int8))[0])
    assert abs(got - exact) <= 0.5 + 256 * max(ratios) * 2**-14 + 256 * 2**-23


def test_addition_of_scales_too_far_apart_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        Add.of((20_000.0, 1.0), (0, 0), 0, (-128, 127), "net: node 'sum' (Add)")
    assert str(caught.value) == (
        "net: node 'sum' (Add): an input's scale is 2e+04 times the output's; recalibrate the output's range"
    )
