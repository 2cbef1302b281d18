"""Graph and kernels -> plan."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from nnrules.catalog.kernel import Kernel
from nnrules.catalog.paths import KERNELS
from nnrules.graph.ir import Graph
from nnrules.graph.packed import packed
from nnrules.plan.arena import assign_offsets
from nnrules.plan.costs import Costs
from nnrules.plan.flows import make_flow, state_bytes
from nnrules.plan.lifetimes import Buffer, Memory, Piece, Stream, span, spans_of, step_bytes
from nnrules.plan.record import UNBOUNDED, Layer, Plan, Point, Room, Slot, Span
from nnrules.plan.schedule import aligned, height, row_window
from nnrules.plan.search import Program, Search
from nnrules.plan.select import Flash, Offers, Selection
from nnrules.plan.widths import needed, packable

MORE_INSTRUCTIONS = 1.05  # times those without streaming, where nothing is said of the RAM
PACKINGS = 6  # programs that are packed, at most, to find the smallest


@dataclass(frozen=True)
class Ram:
    """What is asked of the arena. `stream`: whether rows may stream; `bytes`: the fewest instructions that keep it;
    `least`: as little as can be. With neither it is the least with up to MORE_INSTRUCTIONS, if rows may stream."""

    stream: bool = False
    bytes: int | None = None
    least: bool = False


UNSTREAMED = Ram()


def make_plan(
    graph: Graph,
    kernels: Iterable[Kernel],
    target: str,
    isa: tuple[str, ...],
    extra_weights: float = 1.0,
    costs: Costs | None = None,
    flash: Flash | None = None,
    ram: Ram = UNSTREAMED,
) -> Plan:
    """The plan of ``graph`` on a target with the kernel features ``isa``; the others as in Offers.

    Where nothing keeps ``ram.bytes``, the plan takes the least that was found. Tensors are bytes, but where RAM is
    asked for and that takes less, those of few levels are packed; no more of them than needed, as far as one look at
    what is in use when tells. Raises UserError where a layer has no kernel.
    """
    kernels = tuple(kernels)

    def made(narrow: Iterable[str]) -> Plan:
        return _made(Offers(packed(graph, narrow), kernels, isa, costs), target, extra_weights, flash, ram)

    plain = made(())
    if not ram.least and (ram.bytes is None or (plain.arena_bytes <= ram.bytes and not plain.taken)):
        return plain
    able = packable(graph, kernels, isa)
    if not able:
        return plain
    all_packed = made(able)
    some = needed(all_packed, graph, all_packed.arena_bytes if ram.bytes is None else ram.bytes)
    tried = [plain, *([made(some)] if 0 < len(some) < len(able) else []), all_packed]
    return min(tried, key=partial(_merit, ram))


def _made(offers: Offers, target: str, extra_weights: float, flash: Flash | None, ram: Ram) -> Plan:
    """See make_plan; with tensors as they are."""
    graph = offers.graph
    selected, room = offers.select(extra_weights, flash)
    if ram == UNSTREAMED:
        return plan_of(graph, target, selected, room)
    state = state_bytes(graph)
    programs = Search(offers, [candidate for candidate, _ in selected], state, ram.stream).front
    front = _front(
        _Way(each, *offers.select(extra_weights, flash, each.bands, each.limits(state))) for each in programs
    )

    @cache
    def placed(number: int) -> Plan:
        program, taken, room = front[number].program, front[number].selected, front[number].room
        return replace(plan_of(graph, target, taken, room, program.streams, program.bands), taken=number)

    if ram.bytes is not None:
        plan = _within(front, ram.bytes, placed)
    else:
        most = math.inf if ram.least else MORE_INSTRUCTIONS * total(selected)
        plan = _least([number for number, way in enumerate(front) if way.instructions <= most], front, placed)
    points = tuple(Point(bytes=each.program.bytes, instructions=each.instructions) for each in front)
    plan = replace(plan, front=points)
    if ram.bytes is not None and plan.arena_bytes > ram.bytes:
        plan = replace(plan, missed=ram.bytes)
    return replace(plan, stops=_stops(graph), held=_held(graph)) if ram.stream else plan


def _merit(ram: Ram, plan: Plan) -> tuple[float, ...]:
    """Less is better: bytes of the arena that are too many, then instructions; or bytes of the arena first."""
    instructions = plan.front[plan.taken].instructions
    if ram.bytes is None:
        return plan.arena_bytes, instructions
    return max(0, plan.arena_bytes - ram.bytes), instructions, plan.arena_bytes


@dataclass(frozen=True)
class _Way:
    """A program with the kernels that its memory and all layers' weights allow."""

    program: Program
    selected: Sequence[Selection]
    room: Room

    @cached_property
    def instructions(self) -> float:
        """As estimated; with what all layers share of the weights, not as the search had it."""
        return total(self.selected) + sum(segment.copying for segment in self.program.segments)


def total(selected: Sequence[Selection]) -> float:
    """Instructions of all kernels."""
    return sum(candidate.instructions for candidate, _ in selected if candidate)


def _front(ways: Iterable[_Way]) -> list[_Way]:
    """Those that none beats in both, from the fewest instructions to the least RAM."""
    front: list[_Way] = []
    for way in sorted(ways, key=lambda each: each.program.bytes):
        cost = way.instructions + way.program.price
        if not front or cost < front[-1].instructions + front[-1].program.price:
            front.append(way)
    return front[::-1]


def _least(numbers: Sequence[int], front: Sequence[_Way], placed: Callable[[int], Plan]) -> Plan:
    """The smallest arena of these."""
    smallest = placed(numbers[-1])
    for number in numbers[-2 : -PACKINGS - 1 : -1]:
        if front[number].program.bytes >= smallest.arena_bytes:
            break  # placed, it takes no less
        smallest = min(smallest, placed(number), key=lambda plan: plan.arena_bytes)
    return smallest


def _within(front: Sequence[_Way], most: int, placed: Callable[[int], Plan]) -> Plan:
    """The fewest instructions of which the arena keeps ``most`` bytes; where none does, the smallest.

    What less is in use takes fewer bytes, mostly: looked for by steps that double, then between the last two. Where
    that finds none, all that might do are tried.
    """
    fitting = [number for number, way in enumerate(front) if way.program.bytes <= most]
    low, step = -1, 1
    while low + 1 < len(fitting):
        high = min(low + step, len(fitting) - 1)
        if placed(fitting[high]).arena_bytes <= most:
            while low + 1 < high:
                middle = (low + high) // 2
                if placed(fitting[middle]).arena_bytes <= most:
                    high = middle
                else:
                    low = middle
            return placed(fitting[high])
        low, step = high, 2 * step
    tried = fitting or range(max(0, len(front) - PACKINGS), len(front))
    return min((placed(number) for number in tried), key=lambda plan: (plan.arena_bytes > most, plan.arena_bytes))


def plan_of(
    graph: Graph,
    target: str,
    selected: Sequence[Selection],
    room: Room = UNBOUNDED,
    streams: Sequence[Stream] = (),
    bands: Mapping[int, int] | None = None,
) -> Plan:
    """The plan with these kernels, chosen within ``room``; ``streams``: the parts through which rows stream, ``bands``
    of them at a time."""
    chosen = [candidate for candidate, _ in selected]
    memory = Memory(graph, chosen, streams)
    whole, scratch, rows = memory.tensors, memory.scratch, memory.rows
    state = [Buffer(["(state)"], [Piece(span(0, len(memory.nodes) - 1), 0, state_bytes(graph))])] if streams else []
    together = list({id(each): each for each in (*whole, *scratch.values(), *rows.values(), *state)}.values())
    offsets, arena_bytes = assign_offsets(together)
    places = {id(buffer): offset for buffer, offset in zip(together, offsets, strict=True)}
    in_steps = step_bytes(together)
    peak = in_steps.index(max(in_steps)) if in_steps else 0
    kinds = {id(buffer): key.kind for key, buffer in rows.items()} | {id(each): "scratch" for each in scratch.values()}
    kinds |= {id(each): "state" for each in state}
    working = {index: places[id(buffer)] for index, buffer in scratch.items()}
    rows_at = bands or {}
    shared = {name for buffer in whole for name in buffer.tensors[1:]}
    shared |= {graph.nodes[index].output for stream in streams for index in stream.in_place}
    widths = {tensor.name: tensor.packing.bits for tensor in graph.tensors.values() if tensor.packing}
    return Plan(
        model=graph.name,
        target=target,
        arena_bytes=arena_bytes,
        live_bytes=max(in_steps, default=0),
        peak=graph.nodes[memory.nodes[peak]].name if memory.nodes else "",
        tensors=tuple(
            slot for each in together for slot in _slots(each, places[id(each)], kinds.get(id(each), "whole"))
        ),
        layers=tuple(
            _layer(graph, index, each, working.get(index, 0), rows_at.get(index, 0), shared)
            for index, each in enumerate(selected)
        ),
        flows=tuple(
            make_flow(graph, stream, {key: places[id(buffer)] for key, buffer in rows.items()}, offsets[-1])
            for stream in streams
        ),
        steps=tuple(memory.nodes),
        room=room,
        widths=widths or UNSET,
    )


def _slots(buffer: Buffer, offset: int, kind: str) -> list[Slot]:
    """What lies there, each tensor under its own name."""
    about = {"offset": offset, "bytes": buffer.bytes, "first": buffer.first, "last": buffer.last}
    return [
        Slot(name=name, kind=kind, spans=tuple(Span(*each) for each in spans_of(buffer, owner)), **about)
        for owner, name in enumerate(buffer.tensors)
    ]


def _layer(graph: Graph, index: int, selection: Selection, working: int, band: int, shared: set[str]) -> Layer:
    """``working``: the offset of its working memory; ``shared``: tensors that lie where another one did."""
    node, (taken, refused) = graph.nodes[index], selection
    if taken is None:
        return Layer(name=node.name, op=node.operator.op)
    template = taken.kernel.template
    return Layer(
        name=node.name,
        op=node.operator.op,
        kernel=taken.kernel.name,
        variant=taken.variant,
        template=template.relative_to(KERNELS).as_posix() if template.is_relative_to(KERNELS) else str(template),
        scratch_offset=working + aligned(taken.gather_bytes) if taken.scratch_bytes else 0,
        scratch_bytes=taken.scratch_bytes,
        band=band,
        gather_offset=working if taken.gather_bytes else 0,
        gather_bytes=taken.gather_bytes,
        instructions=taken.instructions,
        weight_bytes=taken.weight_bytes,
        in_place=node.output in shared,
        refused=refused,
    )


def _stops(graph: Graph) -> tuple[str, ...]:
    """Layers that need all rows of an image at once, or that all rows of one have to wait for, which is read after
    them."""
    made = {node.output: index for index, node in enumerate(graph.nodes)}
    first, last = dict[str, int](), dict[str, int]()
    for index, node in enumerate(graph.nodes):
        for name in node.inputs:
            first.setdefault(name, made.get(name, index - 1))
            last[name] = index
    images = [name for name in last if height(graph, name) > 1]
    return tuple(
        node.name
        for index, node in enumerate(graph.nodes)
        if row_window(graph, index) is None and any(first[name] < index <= last[name] for name in images)
    )


def _held(graph: Graph) -> tuple[str, ...] | UnsetType:
    """The inputs where rows of an image could only be pushed if it were the only one."""
    images = any(height(graph, name) > 1 for name in graph.inputs)
    return graph.inputs if images and len(graph.inputs) > 1 else UNSET
