"""plan: a kernel for each layer, an offset for each tensor, within the memory that there is."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from nnrules.catalog.kernel import Kernel, load_kernel
from nnrules.catalog.stages import PlanOptions
from nnrules.catalog.toolchain import Toolchain, load_toolchain
from nnrules.codegen.packing import Constants, pack
from nnrules.error import UserError
from nnrules.graph.ir import Graph, load
from nnrules.graph.operator import Operator
from nnrules.plan.costs import load_costs
from nnrules.plan.planner import Ram, make_plan
from nnrules.plan.record import Plan, dump_plan
from nnrules.plan.select import Candidate, Flash, in_formats, layer_parameters
from nnrules.stages.runner import Request, main

ALIGNMENT = 4  # of an array in flash
RAM_RESERVE = 768  # bytes: of stack and data
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
    within = partial(make_plan, graph, kernels, request.target, isa, request.options.extra_weights, costs, flash)
    streaming = _streaming(request.options, toolchain)
    plan = within(_ram(request.options, streaming))
    bounds = (request.options.ram_budget, toolchain.ram if toolchain else None)
    most = _arena(request.options, min((each for each in bounds if each is not None), default=None))
    if most is not None and plan.arena_bytes > most:
        plan = within(Ram(streaming, most))
    _require_arena(request, plan)
    if toolchain is not None:
        _require_room(request, toolchain, plan, _constant_bytes(graph, plan, kernels))
    request.output("plan").write_bytes(dump_plan(plan))


def _isa(options: PlanOptions, toolchain: Toolchain | None) -> tuple[str, ...]:
    if options.portable:
        return ("portable",)
    return toolchain.isa if options.isa is None and toolchain else (*(options.isa or ()), "portable")


def _streaming(options: PlanOptions, toolchain: Toolchain | None) -> bool:
    """Whether rows may stream: where nothing is said of it, not on a PC, unless RAM is asked for."""
    asked = options.ram is not None or options.ram_budget is not None
    plenty = toolchain is not None and toolchain.ram is None
    return options.stream == "auto" or (options.stream is None and (asked or not plenty))


def _ram(options: PlanOptions, streaming: bool) -> Ram:
    """What is asked of the arena."""
    known = _arena(options, options.ram_budget)
    if isinstance(options.ram, str):
        return Ram(streaming, least=options.ram == "least")
    return Ram(streaming, min((each for each in (options.ram, known) if each is not None), default=None))


def _arena(options: PlanOptions, ram: int | None) -> int | None:
    """What an amount of RAM leaves the arena."""
    reserve = RAM_RESERVE if options.ram_reserve is None else options.ram_reserve
    return None if ram is None else max(0, ram - reserve)


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


def constant_bytes(operators: Sequence[Operator], candidate: Candidate) -> int:
    """Bytes of weights, biases, multipliers and tables as a kernel's packing stores them."""
    return _bytes([pack(candidate.kernel.packing, each, candidate.parameters) for each in operators])


def _bytes(formats: Sequence[Constants]) -> int:
    """Of the arrays of a layer, each as often as it is another one, in whole words."""
    sizes = {(role, each.tobytes()): each.nbytes for constants in formats for role, each in constants.items()}
    return sum(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes.values())


def _require_arena(request: Request[PlanOptions], plan: Plan) -> None:
    """Raises UserError where the option `ram` asks for less than there can be."""
    most = request.options.ram
    if isinstance(most, int) and plan.arena_bytes > most:
        place = f"{request.model}.plan.ram={most}"
        less = "shrink that layer's images or channels"
        if request.options.stream == "off":
            less = f"leave {request.model}.plan.stream=off out"
        cure = f"say {plan.arena_bytes} or more, or {less}"
        raise UserError(place, f"{request.model} on {request.target}: {_least(plan)}", cure)


def _least(plan: Plan) -> str:
    """How much RAM it takes, and why."""
    why = f" ({'; '.join(plan.hindrances)})" if plan.hindrances else ""
    return f"its activations need {plan.arena_bytes:,} bytes at layer '{plan.peak}'{why}"


def _require_room(request: Request[PlanOptions], toolchain: Toolchain, plan: Plan, weights: int) -> None:
    place = f"{request.model} on {request.target}"
    if toolchain.ram is not None and plan.arena_bytes > toolchain.ram:
        fault = f"{_least(plan)}, the target has {toolchain.ram:,} of RAM"
        raise UserError(place, fault, "shrink the network's images or channels, or choose a larger target")
    if toolchain.flash is not None and weights > toolchain.flash:
        fault = f"its weights need {weights:,} bytes, the target has {toolchain.flash:,} of flash"
        raise UserError(place, fault, "prune the network or choose a larger target")


def _constant_bytes(graph: Graph, plan: Plan, kernels: list[Kernel]) -> int:
    """Bytes of weights, biases, multipliers and tables as the kernels' packings store them."""
    packings = {kernel.name: kernel.packing for kernel in kernels}
    layers = [(layer, node) for layer, node in zip(plan.layers, graph.nodes, strict=True) if layer.kernel]
    total = 0
    for layer, node in layers:
        parameters = {**layer_parameters(graph, node, layer.band), **layer.variant}
        formats = [pack(packings[layer.kernel], each, parameters) for each in in_formats(graph, node, layer.band)]
        total += _bytes(formats)
    return total


if __name__ == "__main__":
    main(run, PlanOptions)
