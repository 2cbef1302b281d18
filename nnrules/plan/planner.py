"""Graph and kernels -> plan."""

from collections.abc import Iterable, Sequence

from nnrules.catalog.kernel import Kernel
from nnrules.catalog.paths import KERNELS
from nnrules.graph.ir import Graph
from nnrules.plan.arena import assign_offsets, live_bytes
from nnrules.plan.costs import Costs
from nnrules.plan.lifetimes import Buffer, Memory
from nnrules.plan.record import UNBOUNDED, Layer, Plan, Refusal, Room, Slot
from nnrules.plan.select import Candidate, Flash, Selection, select_kernels


def make_plan(
    graph: Graph,
    kernels: Iterable[Kernel],
    target: str,
    isa: tuple[str, ...],
    extra_weights: float = 1.0,
    costs: Costs | None = None,
    flash: Flash | None = None,
) -> Plan:
    """The plan of ``graph`` on a target with the kernel features ``isa``; the others as in select_kernels.

    Raises UserError where a layer has no kernel.
    """
    return plan_of(graph, target, *select_kernels(graph, kernels, isa, extra_weights, costs, flash))


def plan_of(graph: Graph, target: str, selected: Sequence[Selection], room: Room = UNBOUNDED) -> Plan:
    """The plan with these kernels, chosen within ``room``."""
    chosen = [candidate for candidate, _ in selected]
    memory = Memory(graph, chosen)
    activations, scratch = memory.tensors, memory.scratch
    together = [*activations, *scratch.values()]
    offsets, arena_bytes = assign_offsets(together)
    scratch_offsets = dict(zip(scratch, offsets[len(activations) :], strict=True))
    shared = {name for buffer in activations for name in buffer.tensors[1:]}
    layers = [
        _layer(graph, index, kernel, reasons, scratch.get(index), scratch_offsets.get(index, 0), shared)
        for index, (kernel, reasons) in enumerate(selected)
    ]
    return Plan(
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
