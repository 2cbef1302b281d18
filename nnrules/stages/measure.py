"""measure: instructions, RAM and flash of the shipped program, from one run of it and from its sections.

Instructions are whole ticks of the target's counter times `instructions_per_tick`: on Arm multiples of 40.

Inputs: elf (shipped), plan, graph, verify, metric, objects, toolchain; profile and samples where the target counts
instructions. Outputs: measured, console.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.stages import MeasureOptions
from nnrules.catalog.toolchain import Toolchain, load_toolchain
from nnrules.error import UserError
from nnrules.graph import ir
from nnrules.plan.record import Plan, load_plan
from nnrules.stages.runner import Request, main
from nnrules.verify import console, memory
from nnrules.verify import samples as held_out
from nnrules.verify.engines import c_program
from nnrules.verify.objects import digests
from nnrules.verify.program import Program
from nnrules.verify.ram import Ram


def run(request: Request[MeasureOptions]) -> None:
    """Write the figures. Raises UserError when the objects are not the verified ones or the program reports nothing."""
    verify, metric = (_json(request.input(name)) for name in ("verify", "metric"))
    if digests(request.inputs["objects"]) != verify["objects"]:
        raise UserError(request.input("elf").name, "its objects are not those that were verified", "build it again")
    graph, plan = ir.load(request.input("graph")), load_plan(request.input("plan"))
    toolchain = load_toolchain(request.input("toolchain"))
    text = run_shipped(request, toolchain)
    sizes = memory.read(request.input("elf"), [Path(name) for name in request.inputs["objects"]], plan.arena_bytes)
    macs = [graph.macs(node) for node in graph.nodes]
    measured = {
        "model": request.model,
        "target": request.target,
        "macs": sum(macs),
        "instructions": _instructions(console.number(text, "run"), toolchain),
        "layers": layers(graph, plan, macs, layer_instructions(request, graph, toolchain)),
        "ram": sizes.ram(console.number(text, "stack")),
        "flash": sizes.flash(),
        "metric": metric if metric["name"] else None,
        "peak": Ram(plan).record(),
        "room": msgspec.to_builtins(plan.room),
        "note": graph.note or None,
        "compiler": memory.compiler(Path(request.inputs["objects"][0])),
        "verify": {name: verify[name] for name in ("samples", "values", "differing", "engines")},
    }
    request.output("console").write_text(text, encoding="utf-8")
    request.output("measured").write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=1) + b"\n")


def run_shipped(request: Request[MeasureOptions], toolchain: Toolchain) -> str:
    """The console of one run of the shipped program; empty without a runner.

    A target that does not count instructions has no "nn:run" line: its ticks would differ from run to run.
    Raises UserError where a figure that the target can give is missing.
    """
    if toolchain.runner is None:
        return ""
    elf = request.input("elf")
    text = Program(elf.name, elf, toolchain.runner.command, request.options.timeout).run({}).console
    if not toolchain.runner.instructions_per_tick:
        return console.without(text, "run")
    for key in ("run", "stack"):
        if console.number(text, key) is None:
            cure = "let the application end as kernels/program/main.c does"
            raise UserError(elf.name, f"printed no line 'nn:{key} <number>'", cure)
    return text


def layer_instructions(request: Request[MeasureOptions], graph: ir.Graph, toolchain: Toolchain) -> dict[int, int]:
    """Instructions by node index, from one run of the profiling program with the first sample."""
    elf = request.optional("profile")
    if elf is None or toolchain.runner is None or not toolchain.runner.instructions_per_tick:
        return {}
    first = c_program.interleave(graph, held_out.load(graph, request.input("samples"), 1))
    program = Program(elf.name, elf, toolchain.runner.command, request.options.timeout)
    ticks = console.layer_ticks(program.run({"inputs.bin": first}).console)
    return {index: round(count * toolchain.runner.instructions_per_tick) for index, count in ticks.items()}


def layers(graph: ir.Graph, plan: Plan, macs: list[int], instructions: Mapping[int, int]) -> list[dict[str, Any]]:
    """The `layers` record, node by node; a node that only renames memory has the kernel ""."""
    return [
        {
            "name": node.name,
            "op": node.operator.op,
            "kernel": layer.kernel,
            "macs": macs[index],
            "instructions": instructions.get(index),
        }
        for index, (node, layer) in enumerate(zip(graph.nodes, plan.layers, strict=True))
    ]


def _instructions(ticks: int | None, toolchain: Toolchain) -> int | None:
    if ticks is None or toolchain.runner is None or not toolchain.runner.instructions_per_tick:
        return None
    return round(ticks * toolchain.runner.instructions_per_tick)


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


if __name__ == "__main__":
    main(run, MeasureOptions)
