"""gate: holds what was measured against the budget; outside it, the build stops here with the table.

Inputs: measured and plan; or plan, verify and metric, for C that others link: the arena is then what is known of the
RAM; chosen (the record of quantization) for a model that somebody else trained. Outputs: passed.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from nnrules.catalog import quality
from nnrules.catalog.stages import GateOptions
from nnrules.catalog.table import render, render_owners
from nnrules.error import UserError
from nnrules.plan.record import Plan, Room, load_plan
from nnrules.stages.runner import Request, main
from nnrules.verify.ram import Ram

SIZES = ("ram", "flash", "instructions")
SMALLER = "make the model smaller or raise its budget="
SMALLER_LAYER = "make that layer's image or channels smaller, or raise budget="


class Cures(NamedTuple):
    """What a user can do where a limit is not held; `better`: for a higher metric, `metric`: where there is none."""

    better: str = "train longer, prune or quantize less, or ask for less in budget="
    metric: str = "give the dataset metric_name and metric(), or leave that limit out"


def run(request: Request[GateOptions]) -> None:
    """Write the limits and what is used of them. Raises UserError when a figure is on the wrong side of its limit."""
    path = request.optional("measured")
    measured = _json(path) if path else _planned(request)
    limits = msgspec.structs.asdict(request.options)
    place = str(path.with_name(f"{measured['model']}.elf")) if path else f"{request.model} on {request.target}"
    used = _used(measured)
    over = [_excess(name, used[name], limits[name]) for name in SIZES if _exceeds(used[name], limits[name])]
    cures = _cures(request)
    short = _shortfalls(place, measured["metric"], limits, cures)
    if over or short:
        sys.stdout.write(render([measured], [limits]))
        sys.stdout.flush()
        fitting = [cure for cure, faults in ((_smaller(request, measured), over), (cures.better, short)) if faults]
        raise UserError(place, ", ".join(over + short), "; ".join(fitting))
    request.output("passed").write_bytes(msgspec.json.encode({"limits": limits, "used": used}) + b"\n")


def _smaller(request: Request[GateOptions], measured: dict[str, Any]) -> str:
    """What helps where sizes are exceeded: if it is flash alone and smaller kernels would do, or RAM alone, to tell the
    planner how large the rest of the program has turned out."""
    limits, used = msgspec.structs.asdict(request.options), _used(measured)
    room, flash = msgspec.convert(measured.get("room", {}), Room), limits["flash"]
    over, path = [name for name in SIZES if _exceeds(used[name], limits[name])], request.optional("plan")
    if over == ["ram"] and path is not None:
        return _less_ram(request.model, load_plan(path), used["ram"], limits["ram"])
    reserve = room.reserve(used["flash"], flash) if over == ["flash"] else None
    if reserve is None:
        return SMALLER
    return f"set {request.model}.plan.reserve='{reserve // 1024} KB', and the planner takes smaller kernels"


def _less_ram(model: str, plan: Plan, used: int, limit: int) -> str:
    """What helps where the RAM alone is exceeded: to tell the planner how much of it is no arena, unless even the least
    would be too much, or is what it has taken."""
    rest = used - plan.arena_bytes
    least = min((point.bytes for point in plan.front), default=plan.arena_bytes)
    if least + rest <= limit and least < plan.arena_bytes and not isinstance(plan.missed, int):
        return f"set {model}.plan.ram_reserve={rest}, and the planner keeps that much free"
    there = render_owners((block.name, block.kind, size) for block, size in Ram(plan).owners)
    why = "; ".join(text for text in (there, *plan.hindrances) if text)
    total = plan.arena_bytes + rest
    place = f"at layer '{plan.peak}'{f' ({why})' if why else ''}"
    free = "" if plan.flows or plan.hindrances else f"leave {model}.plan.stream=off out where it is said, "
    return f"the least is {total:,} bytes, {total - limit:,} too many, {place}: {free}{SMALLER_LAYER}"


def _planned(request: Request[GateOptions]) -> dict[str, Any]:
    """What is known before anything is linked, in the form of measured.json."""
    metric = _json(request.input("metric"))
    return {
        "model": request.model,
        "target": request.target,
        "macs": 0,
        "instructions": None,
        "ram": {"total": load_plan(request.input("plan")).arena_bytes, "stack": None},
        "flash": {"total": None},
        "metric": metric if metric["name"] else None,
        "verify": _json(request.input("verify")),
    }


def _cures(request: Request[GateOptions]) -> Cures:
    """Nobody here trains a model that was imported; what it quantizes itself, nobody here quantizes either."""
    path = request.optional("chosen")
    if path is None:
        return Cures()
    chosen = _json(path)
    better = "the file is quantized already: import the float model, or ask for less in budget="
    if chosen["activations"] or chosen["weights"]:
        better = (
            f"calibrate on other samples (samples=, calibration=), quantize by another method than {chosen['method']}, "
            "or ask for less in budget="
        )
    return Cures(better, "give labels as y in samples=, or leave that limit out")


def _json(path: Path) -> Any:
    return msgspec.json.decode(path.read_bytes())


def _used(measured: dict[str, Any]) -> dict[str, Any]:
    """What there is of each limit; RAM is what is known of it, None where nothing was measured."""
    metric = measured["metric"]
    return {
        "ram": measured["ram"]["total"],
        "flash": measured["flash"]["total"],
        "instructions": measured["instructions"],
        "metric_at_least": metric["integer"] if metric else None,
        "metric_drop": quality.drop(metric) if metric else None,
    }


def _shortfalls(place: str, metric: dict[str, Any] | None, limits: dict[str, Any], cures: Cures) -> list[str]:
    """Raises UserError where there is a limit and no metric: it would hold unseen."""
    asked = [name for name in quality.LIMITS if limits[name] is not None]
    if asked and metric is None:
        fault = f"there is no metric to hold against {asked[0]}"
        raise UserError(place, fault, cures.metric)
    return quality.shortfalls(metric, limits) if metric else []


def _exceeds(used: int | None, limit: int | None) -> bool:
    return used is not None and limit is not None and used > limit


def _excess(name: str, used: int, limit: int) -> str:
    label = {"ram": "RAM"}.get(name, name)
    if name == "instructions":
        return f"{label} {used:,} of {limit:,}"
    allowed = f"{limit // 1024:,} KB" if limit % 1024 == 0 else f"{limit:,} bytes"
    return f"{label} {used:,} of {allowed}"


if __name__ == "__main__":
    main(run, GateOptions)
