"""Plans of one graph with and without streamed rows."""

from nnrules.catalog.kernel import load_kernels
from nnrules.graph.ir import Graph
from nnrules.plan.planner import Ram, make_plan
from nnrules.plan.record import Plan

KERNELS = load_kernels()


def whole_plan(graph: Graph, isa: tuple[str, ...], target: str = "host") -> Plan:
    """All tensors in one piece."""
    return make_plan(graph, KERNELS, target, isa)


def streamed_plan(graph: Graph, isa: tuple[str, ...], target: str = "host") -> Plan:
    """The least RAM; rows stream where that saves any."""
    return make_plan(graph, KERNELS, target, isa, ram=Ram(stream=True, least=True))
