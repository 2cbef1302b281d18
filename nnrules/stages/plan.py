"""plan: a kernel for each layer, an offset for each tensor, within the memory that there is."""

from pathlib import Path

from nnrules.catalog.kernel import Kernel, load_kernel
from nnrules.catalog.stages import PlanOptions
from nnrules.catalog.toolchain import Toolchain, load_toolchain
from nnrules.codegen.packing import pack
from nnrules.error import UserError
from nnrules.graph.ir import Graph, load
from nnrules.graph.operator import Operator
from nnrules.plan.costs import load_costs
from nnrules.plan.planner import make_plan
from nnrules.plan.record import Plan, dump_plan
from nnrules.plan.select import Candidate, Flash, layer_parameters
from nnrules.stages.runner import Request, main

ALIGNMENT = 4  # of an array in flash
RESERVE = 4096  # bytes of flash: start-up, a small application, what calls the kernels and what they share


def run(request: Request[PlanOptions]) -> None:
    """Inputs ``graph``, ``kernels`` (TOMLs), unless the option ``isa`` is given ``toolchain`` (TOML), and where the
    target has been tuned ``costs`` (JSON); output ``plan`` (JSON)."""
    graph = load(request.input("graph"))
    kernels = [load_kernel(Path(text).resolve()) for text in request.inputs["kernels"]]
    path = request.optional("toolchain")
    toolchain = load_toolchain(path) if path else None
    isa = _isa(request.options, toolchain)
    tuned = request.optional("costs")
    costs = load_costs(tuned) if tuned else None
    flash = _flash(request.options, graph, toolchain)
    plan = make_plan(graph, kernels, request.target, isa, request.options.extra_weights, costs, flash)
    if toolchain is not None:
        _require_room(request, toolchain, plan, _constant_bytes(graph, plan, kernels))
    request.output("plan").write_bytes(dump_plan(plan))


def _isa(options: PlanOptions, toolchain: Toolchain | None) -> tuple[str, ...]:
    if options.portable:
        return ("portable",)
    return toolchain.isa if options.isa is None and toolchain else (*(options.isa or ()), "portable")


def _flash(options: PlanOptions, graph: Graph, toolchain: Toolchain | None) -> Flash | None:
    """What the budget or the target has for kernels and constants; None without either."""
    sizes = {"budget": options.budget, "target": toolchain.flash if toolchain else None}
    known = {by: size for by, size in sizes.items() if size is not None}
    if not known:
        return None
    by = min(known, key=lambda name: known[name])
    sample = sum(graph.tensors[name].bytes for name in (*graph.inputs, *graph.outputs))
    reserve = RESERVE + sample if options.reserve is None else options.reserve
    return Flash(max(0, known[by] - reserve), by, constant_bytes)


def constant_bytes(operator: Operator, candidate: Candidate) -> int:
    """Bytes of weights, biases, multipliers and tables as a kernel's packing stores them."""
    arrays = pack(candidate.kernel.packing, operator, candidate.parameters).values()
    return sum(-(-array.nbytes // ALIGNMENT) * ALIGNMENT for array in arrays)


def _require_room(request: Request[PlanOptions], toolchain: Toolchain, plan: Plan, weights: int) -> None:
    place = f"{request.model} on {request.target}"
    if toolchain.ram is not None and plan.arena_bytes > toolchain.ram:
        fault = f"its activations need {plan.arena_bytes:,} bytes, the target has {toolchain.ram:,} of RAM"
        raise UserError(place, fault, "shrink the network's images or channels, or choose a larger target")
    if toolchain.flash is not None and weights > toolchain.flash:
        fault = f"its weights need {weights:,} bytes, the target has {toolchain.flash:,} of flash"
        raise UserError(place, fault, "prune the network or choose a larger target")


def _constant_bytes(graph: Graph, plan: Plan, kernels: list[Kernel]) -> int:
    """Bytes of weights, biases, multipliers and tables as the kernels' packings store them."""
    packings = {kernel.name: kernel.packing for kernel in kernels}
    layers = [(layer, node) for layer, node in zip(plan.layers, graph.nodes, strict=True) if layer.kernel]
    packed = [
        pack(packings[layer.kernel], node.operator, {**layer_parameters(graph, node), **layer.variant})
        for layer, node in layers
    ]
    return sum(array.nbytes for constants in packed for array in constants.values())


if __name__ == "__main__":
    main(run, PlanOptions)
