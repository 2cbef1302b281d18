"""Plans of one graph with and without streamed rows."""

from collections.abc import Iterator

from nnrules.catalog.kernel import load_kernels
from nnrules.graph.ir import Graph
from nnrules.plan.costs import Costs
from nnrules.plan.flows import state_bytes
from nnrules.plan.planner import Ram, make_plan, plan_of
from nnrules.plan.record import Plan
from nnrules.plan.search import Program, Search
from nnrules.plan.select import Offers

KERNELS = tuple(load_kernels())
PLENTY = 1 << 24  # bytes


def whole_plan(graph: Graph, isa: tuple[str, ...], target: str = "host") -> Plan:
    """All tensors in one piece."""
    return make_plan(graph, KERNELS, target, isa)


def streamed_plan(graph: Graph, isa: tuple[str, ...], target: str = "host") -> Plan:
    """The least RAM; rows stream where that saves any."""
    return make_plan(graph, KERNELS, target, isa, ram=Ram(stream=True, least=True))


def plans_of_parts(graph: Graph, isa: tuple[str, ...]) -> Iterator[Plan]:
    """One plan for each part through which rows can stream, with each number of rows at a time: all else is whole."""
    offers = Offers(graph, KERNELS, isa, Costs())
    selected, _ = offers.select(1.0, None)
    search = Search(offers, [candidate for candidate, _ in selected], state_bytes(graph))
    for part in search.parts:
        program = Program(PLENTY, 0.0, (*search.whole[: part.first], part, *search.whole[part.last + 1 :]))
        taken, room = offers.select(1.0, None, program.bands, program.limits(state_bytes(graph)))
        yield plan_of(graph, "host", taken, room, program.streams, program.bands)
