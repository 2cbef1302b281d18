"""Cuts, bands and kernels against all that there are, on small graphs; what is counted is what the plan takes."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from nnrules.catalog.kernel import Kernel, load_kernel
from nnrules.graph.ir import Graph
from nnrules.plan.costs import Costs
from nnrules.plan.flows import state_bytes
from nnrules.plan.lifetimes import Buffer, Memory, Piece, Stream, span, step_bytes
from nnrules.plan.schedule import schedule
from nnrules.plan.search import BANDS, Search, part_bands
from nnrules.plan.select import COPYING, Candidate, Offers
from tests.cases.graphs import row_graphs

LARGEST = 3  # layers
KERNELS = {
    "small": ('isa = "portable"', 'scratch = "0"', 'cost = "7 * {size}"'),
    "fast": ('isa = "portable"', 'scratch = "{size} // 2 + 40"', 'cost = "3 * {size} + 100"', "in_place = true"),
}
SIZES = {"conv2d": "out_h * out_w * out_c", "max_pool2d": "out_h * out_w * out_c", "lookup": "size", "add": "size"}
SIZES |= {"average_pool2d": "out_h * out_w * out_c", "average_rows": "out_c"}
"""What the kernels here cost depends on how much they make."""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Kernel, ...]:
    """Two for each operator: a slow one and one that takes memory."""
    folder = tmp_path_factory.mktemp("kernels")
    found = []
    for (op, size), (name, lines) in itertools.product(SIZES.items(), KERNELS.items()):
        path = folder / f"{op}_{name}__portable.toml"
        path.with_name(f"{path.stem}.c.j2").touch()
        path.write_text("\n".join((f'op = "{op}"', *(line.format(size=size) for line in lines))))
        found.append(load_kernel(path))
    return tuple(found)


def ways(graph: Graph) -> Iterator[tuple[tuple[int, int, tuple[int, int] | None], ...]]:
    """All programs: (first, last, bands) for each part, bands None where a layer sees whole tensors."""
    count = len(graph.nodes)
    for cuts in itertools.product((False, True), repeat=count - 1):
        ends = [index for index, cut in enumerate((*cuts, True)) if cut]
        parts = list(zip([0, *(end + 1 for end in ends[:-1])], ends, strict=True))
        options = [[*((a, b, band) for band in BANDS), *([(a, b, None)] if a == b else [])] for a, b in parts]
        yield from itertools.product(*options)


def every(graph: Graph, offers: Offers) -> Iterator[tuple[int, float]]:
    """Bytes in use and instructions of all programs with all kernels."""
    seen = set()
    for way in ways(graph):
        bands, streams, copied = dict[int, int](), [], 0.0
        for first, last, band in way:
            if band is not None:
                own = part_bands(offers, first, last, *band)
                found = schedule(graph, list(own), own, first == 0) or schedule(graph, list(own), own, False)
                if found is None:
                    break
                bands |= own
                streams.append(Stream(first, last, found))
                copied += found.copied * COPYING
        else:
            place = (*bands.items(), *((each.first, each.last) for each in streams))
            if place not in seen:
                seen.add(place)
                yield from kernels_for(graph, offers, bands, streams, copied)


def kernels_for(
    graph: Graph, offers: Offers, bands: dict[int, int], streams: list[Stream], copied: float
) -> Iterator[tuple[int, float]]:
    """With all kernels; those that can work in place do."""
    choices = [offers.candidates(index, bands.get(index, 0))[0] or [None] for index in range(len(graph.nodes))]
    for taken in itertools.product(*choices):
        overwriting = [
            Stream(s.first, s.last, s.schedule, tuple(i for i in s.schedule.over if in_place(taken[i])))
            for s in streams
        ]
        instructions = sum(candidate.instructions for candidate in taken if candidate) + copied
        yield in_use(graph, taken, overwriting), instructions


def in_place(candidate: Candidate | None) -> bool:
    """Whether it may write over its input."""
    return candidate is not None and candidate.in_place


def in_use(graph: Graph, taken: tuple[Candidate | None, ...], streams: list[Stream]) -> int:
    """Bytes, from the lives of all buffers."""
    memory = Memory(graph, taken, streams)
    rows = {id(buffer): buffer for buffer in memory.rows.values()}
    state = [Buffer(["state"], [Piece(span(0, len(memory.nodes) - 1), 0, state_bytes(graph))])] if streams else []
    return max(step_bytes([*memory.tensors, *memory.scratch.values(), *rows.values(), *state]))


def known_and_small(graph: Graph) -> bool:
    """Whether there are kernels, and few enough programs."""
    return len(graph.nodes) <= LARGEST and {node.operator.op for node in graph.nodes} <= set(SIZES)


@settings(
    max_examples=30, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(row_graphs().filter(known_and_small))
def test_the_front_is_that_of_all_programs(kernels: tuple[Kernel, ...], graph: Graph) -> None:
    offers = Offers(graph, kernels, ("portable",), Costs())
    chosen = [candidate for candidate, _ in offers.select()[0]]
    search = Search(offers, chosen, state_bytes(graph))
    found = [(program.bytes, round(program.instructions, 3)) for program in search.front]
    front: list[tuple[int, float]] = []
    for size, instructions in sorted((size, round(cost, 3)) for size, cost in every(graph, offers)):
        if not front or instructions < front[-1][1]:
            front.append((size, instructions))
    assert found == front[::-1]
