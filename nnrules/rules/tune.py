"""`scons tune`: what every kernel costs on the models' layers is measured on each target and recorded with the kernels.

Weights are drawn by lot, since costs do not depend on them. The models of `scons bench` always take part, since the
record is written anew; `model=` and `onnx=` add others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from SCons.Script import COMMAND_LINE_TARGETS

from nnrules.catalog.paths import KERNELS
from nnrules.catalog.peers import load_peers
from nnrules.catalog.stages import TuneOptions
from nnrules.error import UserError
from nnrules.plan.costs import costs_file
from nnrules.rules.arguments import Arguments
from nnrules.rules.workspace import Subject, Workspace

TARGET = "tune"


def is_asked_for() -> bool:
    """Whether the command line says `tune`."""
    return TARGET in COMMAND_LINE_TARGETS


def choose(chosen: Arguments, given: Mapping[str, str], benchmark: str | None) -> None:
    """Enter the models of a file for `scons bench`, and those named on the command line.

    Raises UserError in a project that has no such file: the record is nnrules' own.
    """
    if benchmark is None:
        fault = "what kernels cost is recorded beside the kernels, which are not this project's"
        raise UserError("tune", fault, "run it in a checkout of nnrules")
    own = [model.name for model in load_peers(Path(benchmark)).models]
    others = [name for name in chosen.models if name not in own] if "model" in given else []
    chosen.models, chosen.named = [*own, *others], True


def declare(workspace: Workspace) -> list[Any]:
    """The stage for each target; the nodes of the files of costs."""
    templates = sorted([*KERNELS.rglob("*.c.j2"), *KERNELS.glob("include/*.h")])
    shared = {
        "graph": [workspace.file(workspace.folder(m) / f"{m}.graph.json") for m in workspace.firmwares],
        "kernels": workspace.kernel_descriptions(),
        "templates": [workspace.file(path) for path in templates],
    }
    nodes: list[Any] = []
    for target in workspace.targets:
        inputs = {**shared, "toolchain": [workspace.file(target.path)]}
        outputs = {"costs": str(costs_file(target.name))}
        subject = Subject("all", {}, target.name)
        nodes += workspace.add(TARGET, subject, TuneOptions(), inputs, outputs, target.toolchain.runner).values()
    workspace.env.NoClean(nodes)
    return nodes
