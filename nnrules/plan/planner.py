"""Graph and kernels -> plan."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from nnrules.catalog.kernel import Kernel
from nnrules.catalog.paths import KERNELS
from nnrules.graph.ir import Graph
from nnrules.plan.arena import assign_offsets, live_bytes
from nnrules.plan.costs import Costs
from nnrules.plan.lifetimes import Buffer, Memory, Stream, span
from nnrules.plan.record import UNBOUNDED, Flow, Lane, Layer, Plan, Refusal, Room, Slot
from nnrules.plan.select import Candidate, Flash, Selection, select_kernels, work
from nnrules.plan.schedule import Act, schedule, sums_up


def make_plan(
    graph: Graph,
    kernels: Iterable[Kernel],
    target: str,
    isa: tuple[str, ...],
    extra_weights: float = 1.0,
    costs: Costs | None = None,
    flash: Flash | None = None,
    stream: bool = False,
) -> Plan:
    """The plan of ``graph`` on a target with the kernel features ``isa``; the others as in select_kernels.

    Raises UserError where a layer has no kernel.
    """
    kernels = list(kernels)
    whole = plan_of(graph, target, *select_kernels(graph, kernels, isa, extra_weights, costs, flash))
    if not stream:
        return whole
    plans = [whole]
    for stop in range(1, len(graph.nodes) + 1):
        bands = dict.fromkeys(range(stop), 1)
        if schedule(graph, range(stop), bands, {}, True) is None:
            break
        selected, room = select_kernels(graph, kernels, isa, extra_weights, costs, flash, bands)
        plans.append(plan_of(graph, target, selected, room, bands))
    return min(plans, key=lambda plan: plan.arena_bytes)


def plan_of(
    graph: Graph,
    target: str,
    selected: Sequence[Selection],
    room: Room = UNBOUNDED,
    bands: Mapping[int, int] | None = None,
) -> Plan:
    """The plan with these kernels, chosen within ``room``."""
    chosen = [candidate for candidate, _ in selected]
    bands = bands or {}
    streams, gathers = [], dict[int, int]()
    if bands:
        gathers = {index: _gathered(graph, index, band) for index, band in bands.items()}
        taken = {i: candidate for i, candidate in enumerate(chosen) if candidate and i in bands}
        extra = {i: _aligned(gathers[i]) + candidate.scratch_bytes for i, candidate in taken.items()}
        found = schedule(graph, sorted(bands), bands, extra, True)
        assert found is not None
        streams = [Stream(0, max(bands), found)]
    memory = Memory(graph, chosen, streams)
    activations, scratch = memory.tensors, memory.scratch
    state = [Buffer(["(state)"], 8 + 4 * len(graph.tensors), span(0, len(memory.nodes) - 1))] if streams else []
    together = [*activations, *scratch.values(), *memory.rows.values(), *state]
    offsets, arena_bytes = assign_offsets(together)
    scratch_offsets = dict(zip(scratch, offsets[len(activations) :], strict=False))
    row_offsets = dict(zip(memory.rows, offsets[len(activations) + len(scratch) :], strict=False))
    shared = {name for buffer in activations for name in buffer.tensors[1:]}
    layers = [
        _layer(graph, index, kernel, reasons, scratch.get(index), scratch_offsets.get(index, 0), shared)
        for index, (kernel, reasons) in enumerate(selected)
    ]
    if streams:
        layers = [
            msgspec.structs.replace(
                layer,
                band=bands.get(i, 0),
                gather_offset=row_offsets.get(("scratch", layer.name), 0),
                gather_bytes=gathers.get(i, 0),
                scratch_offset=row_offsets.get(("scratch", layer.name), 0) + _aligned(gathers.get(i, 0)),
                scratch_bytes=candidate.scratch_bytes if candidate else 0,
            )
            if i in bands
            else layer
            for i, (layer, candidate) in enumerate(zip(layers, chosen, strict=True))
        ]
    return Plan(
        flows=tuple(_flow(graph, each, row_offsets, state[0].bytes, offsets[-1]) for each in streams),
        steps=tuple(memory.nodes),
        model=graph.name,
        target=target,
        arena_bytes=arena_bytes,
        live_bytes=live_bytes(together),
        tensors=tuple(
            Slot(name=name, offset=offset, bytes=buffer.bytes, first=buffer.first, last=buffer.last)
            for buffer, offset in zip(together, offsets, strict=True)
            for name in buffer.tensors
        ),
        layers=tuple(layers),
        room=room,
    )


def _layer(
    graph: Graph,
    index: int,
    taken: Candidate | None,
    refused: tuple[Refusal, ...],
    scratch: Buffer | None,
    scratch_offset: int,
    shared: set[str],
) -> Layer:
    node = graph.nodes[index]
    if taken is None:
        return Layer(name=node.name, op=node.operator.op)
    kernel = taken.kernel
    return Layer(
        name=node.name,
        op=node.operator.op,
        kernel=kernel.name,
        variant=taken.variant,
        template=kernel.template.relative_to(KERNELS).as_posix()
        if kernel.template.is_relative_to(KERNELS)
        else str(kernel.template),
        scratch_offset=scratch_offset,
        scratch_bytes=scratch.bytes if scratch else 0,
        instructions=taken.instructions,
        weight_bytes=taken.weight_bytes,
        in_place=node.output in shared,
        refused=refused,
    )


def _aligned(size: int) -> int:
    return -(-size // 8) * 8


def _gathered(graph: Graph, index: int, band: int) -> int:
    """Bytes of the rows that a kernel sees at once, where they do not lie one after the other."""
    node = graph.nodes[index]
    window = node.operator.row_window(*graph.shapes(node))
    assert window is not None
    if (window.kernel == 1 and window.stride == 1) or sums_up(graph, index):
        return 0
    return int(np.prod(work(graph, node, band)[1][0]))


def _flow(graph: Graph, stream: Stream, offsets: Mapping[tuple[str, str], int], state: int, state_offset: int) -> Flow:
    plan = stream.schedule
    pushed = next((event.name for event in plan.events if event.act is Act.PUSH), "")
    names = dict.fromkeys(
        name for i in range(stream.first, stream.last + 1) for name in (*graph.nodes[i].inputs, graph.nodes[i].output)
    )
    lanes = []
    for name in names:
        shape = graph.tensors[name].shape
        height = shape[0] if len(shape) == 3 else 1
        lanes.append(
            Lane(
                tensor=name,
                height=height,
                row_bytes=graph.tensors[name].bytes // height,
                ring=plan.rings.get(name, 0),
                ring_offset=offsets.get(("ring", name), 0),
                fresh=plan.fresh.get(name, 0),
                fresh_offset=offsets.get(("fresh", name), 0),
            )
        )
    return Flow(
        first=stream.first,
        last=stream.last,
        pushed=pushed,
        events=plan.events,
        lanes=tuple(lanes),
        sums={name: offsets["sums", name] for name in plan.sums},
        state_offset=state_offset,
        state_bytes=state,
    )
