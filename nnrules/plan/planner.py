"""Graph and kernels -> plan."""

from collections.abc import Iterable

from nnrules.catalog.kernel import Kernel
from nnrules.catalog.paths import KERNELS
from nnrules.graph.ir import Graph
from nnrules.plan.arena import assign_offsets, live_bytes
from nnrules.plan.lifetimes import Buffer, buffers, scratch_buffers
from nnrules.plan.record import Layer, Plan, Refusal, Slot
from nnrules.plan.select import layer_parameters, select_kernel


def make_plan(graph: Graph, kernels: Iterable[Kernel], target: str, isa: tuple[str, ...]) -> Plan:
    """The plan of ``graph`` on a target with the kernel features ``isa``; raises UserError where a layer has no
    kernel.
    """
    kernels = list(kernels)
    chosen: list[Kernel | None] = []
    refused: list[tuple[Refusal, ...]] = []
    for node in graph.nodes:
        kernel, reasons = (None, ()) if node.operator.is_alias else select_kernel(graph, node, kernels, isa)
        chosen.append(kernel)
        refused.append(reasons)
    activations, scratch = buffers(graph, chosen), scratch_buffers(graph, chosen)
    together = [*activations, *scratch.values()]
    offsets, arena_bytes = assign_offsets(together)
    scratch_offsets = dict(zip(scratch, offsets[len(activations) :], strict=True))
    shared = {name for buffer in activations for name in buffer.tensors[1:]}
    layers = [
        _layer(graph, index, kernel, reasons, scratch.get(index), scratch_offsets.get(index, 0), shared)
        for index, (kernel, reasons) in enumerate(zip(chosen, refused, strict=True))
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
    )


def _layer(
    graph: Graph,
    index: int,
    kernel: Kernel | None,
    refused: tuple[Refusal, ...],
    scratch: Buffer | None,
    scratch_offset: int,
    shared: set[str],
) -> Layer:
    node = graph.nodes[index]
    if kernel is None:
        return Layer(name=node.name, op=node.operator.op)
    return Layer(
        name=node.name,
        op=node.operator.op,
        kernel=kernel.name,
        template=kernel.template.relative_to(KERNELS).as_posix()
        if kernel.template.is_relative_to(KERNELS)
        else str(kernel.template),
        scratch_offset=scratch_offset,
        scratch_bytes=scratch.bytes if scratch else 0,
        instructions=kernel.instructions(layer_parameters(graph, node)),
        in_place=node.output in shared,
        refused=refused,
    )
