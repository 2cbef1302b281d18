"""gate: holds what was measured against the budget; over it, the build stops here with the table.

Inputs: measured. Outputs: passed.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from nnrules.catalog.stages import GateOptions
from nnrules.catalog.table import render
from nnrules.error import UserError
from nnrules.stages.runner import Request, main


def run(request: Request[GateOptions]) -> None:
    """Write the limits and what is used of them. Raises UserError when a figure is above its limit."""
    path = request.input("measured")
    measured = msgspec.json.decode(path.read_bytes())
    used = {
        "ram": measured["ram"]["total"],
        "flash": measured["flash"]["total"],
        "instructions": measured["instructions"],
    }
    limits = msgspec.structs.asdict(request.options)
    over = [_excess(name, used[name], limit) for name, limit in limits.items() if _exceeds(used[name], limit)]
    if over:
        sys.stdout.write(render([measured], [limits]))
        sys.stdout.flush()
        raise UserError(_place(path, measured), ", ".join(over), "make the model smaller or raise its budget=")
    request.output("passed").write_bytes(msgspec.json.encode({"limits": limits, "used": used}) + b"\n")


def _exceeds(used: int | None, limit: int | None) -> bool:
    return used is not None and limit is not None and used > limit


def _excess(name: str, used: int, limit: int) -> str:
    label = {"ram": "RAM"}.get(name, name)
    if name == "instructions":
        return f"{label} {used:,} of {limit:,}"
    allowed = f"{limit // 1024:,} KB" if limit % 1024 == 0 else f"{limit:,} bytes"
    return f"{label} {used:,} of {allowed}"


def _place(path: Path, measured: dict[str, Any]) -> str:
    return str(path.with_name(f"{measured['model']}.elf"))


if __name__ == "__main__":
    main(run, GateOptions)
