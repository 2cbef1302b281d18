"""Whole random graphs of several formats, each sample in another one: numpy, torch, ONNX Runtime, the C and a core."""

import pytest
from hypothesis import given, seed, settings

from nnrules.graph.ir import Graph
from tests.cases.graphs import graphs, row_graphs
from tests.codegen.formats import with_formats
from tests.codegen.test_random_graphs import CORES, SOAK_PER_CORE, both, check, quick

TARGET = "cortex-m7"
some = settings(quick, max_examples=3)


def test_random_graphs_of_several_formats() -> None:
    @seed(3)
    @some
    @given(with_formats(graphs()))
    def property_holds(graph: Graph) -> None:
        check(graph, TARGET, *both(graph, TARGET))

    property_holds()


def test_random_rows_of_several_formats() -> None:
    @seed(3)
    @some
    @given(with_formats(row_graphs()))
    def property_holds(graph: Graph) -> None:
        check(graph, TARGET, *both(graph, TARGET))

    property_holds()


@pytest.mark.soak
@pytest.mark.parametrize("target", CORES)
def test_many_random_graphs_of_several_formats(target: str) -> None:
    @settings(quick, max_examples=SOAK_PER_CORE)
    @given(with_formats(graphs() | row_graphs()))
    def property_holds(graph: Graph) -> None:
        check(graph, target, *both(graph, target))

    property_holds()
