"""Builds in which no stage and no compiler runs: each step writes small files at once. For graphs of any size.

What is measured afterwards is a build by the real thing: the steps, their identities and their keys are real, and so
are the database and the record that a pretended build leaves.
"""

import atexit
import json
from pathlib import Path
from typing import Any

from nnrules.catalog.paths import KERNELS
from nnrules.rules.engine import Engine
from nnrules.rules.stage import Stage
from nnrules.rules.step import Step
from nnrules.rules.tool import Tool
from nnrules.rules.workspace import Workspace

SCONSTRUCT = """
import pretended

steps = pretended.begin()
SConscript("SConstruct")
pretended.record(steps, BUILD_TARGETS, "graph.json")
"""

MEASURED = {
    "metric": None, "instructions": None, "macs": 1, "verify": {"differing": 0}, "layers": [],
    "ram": {"total": 0, "stack": 0}, "flash": {"total": 0},
}  # fmt: skip


def begin() -> list[Step]:
    """From now on steps only pretend; those that are declared from now on."""
    steps = list[Step]()
    declare = Workspace.declare

    def noted(self: Workspace, step: Step, **settings: Any) -> Any:
        steps.append(step)
        return declare(self, step, **settings)

    Workspace.declare = noted  # type: ignore[method-assign]
    Stage.run = Tool.run = pretend  # type: ignore[method-assign]
    return steps


def pretend(step: Step, engine: Engine) -> int:
    """Write a step's outputs."""
    for name, node in step.outputs.items():
        path = Path(str(node))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content(step, name))
    return 0


def content(step: Step, output: str) -> str:
    """What is read while a build is set up or told of is as it should be; the rest is 1000 bytes."""
    if output == "plan":
        return json.dumps({"layers": [{"template": str(path.relative_to(KERNELS))} for path in templates()]})
    if output == "measured":
        return json.dumps({"model": step.model, "target": step.target, **MEASURED})
    return f"{step.label} {output}".ljust(1000)


def templates() -> list[Path]:
    """Those that a network of four operators would take."""
    return sorted(KERNELS.glob("*/*__portable.c.j2"))[:4]


def record(steps: list[Step], wanted: list[Any], file: str) -> None:
    """Write the graph when the build is over: of each step its files, and all that SCons says it depends on."""

    def write() -> None:
        rows = [
            {"makes": [str(node) for node in step.outputs.values()], "needs": [str(n) for n in step.first.children()]}
            for step in steps
        ]
        Path(file).write_text(json.dumps(rows))

    atexit.register(write)
