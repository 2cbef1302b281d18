"""Plan a graph on a target: a kernel for each layer, an offset for each tensor."""

from pathlib import Path

from nnrules.catalog.kernel import load_kernel
from nnrules.catalog.stages import PlanOptions
from nnrules.catalog.toolchain import load_toolchain
from nnrules.error import UserError
from nnrules.graph.ir import load
from nnrules.plan.planner import make_plan
from nnrules.plan.record import dump_plan
from nnrules.stages.runner import Request, main


def run(request: Request[PlanOptions]) -> None:
    """Inputs ``graph``, ``toolchain`` (TOML) and ``kernels`` (TOMLs); output ``plan`` (JSON)."""
    graph = load(request.input("graph"))
    toolchain = load_toolchain(request.input("toolchain"))
    kernels = [load_kernel(Path(text).resolve()) for text in request.inputs["kernels"]]
    isa = ("portable",) if request.options.portable else toolchain.isa
    plan = make_plan(graph, kernels, request.target, isa)
    if toolchain.ram is not None and plan.arena_bytes > toolchain.ram:
        raise UserError(
            f"{request.model} on {request.target}",
            f"its activations need {plan.arena_bytes:,} bytes, the target has {toolchain.ram:,} of RAM",
            "make the network's images smaller or prune it",
        )
    request.output("plan").write_bytes(dump_plan(plan))


if __name__ == "__main__":
    main(run, PlanOptions)
