"""`--graph`: the steps of a build and their files, and how each of them stands."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nnrules.rules.drawing import Node, draw
from nnrules.rules.step import Step

_FEW = 3  # files of one input that are drawn one by one


def write(path: Path, steps: Iterable[Step], standing: Callable[[Step], tuple[Any, str]]) -> None:
    """Draw into `path`; `standing`: a step's state and a line about it. Raises UserError for an unknown suffix."""
    steps = list(steps)
    makers = {node: step for step in steps for node in step.outputs.values()}
    nodes = dict[str, Node]()
    for step in steps:
        state, detail = standing(step)
        group = f"{step.model}/{step.target}" if step.target else step.model
        files = [file for name, given in step.inputs.items() for file in _files(name, given, makers)]
        nodes[step.label] = Node(step.label, step.name, "step", state, detail, tuple(files), group)
        for file in files:
            nodes.setdefault(file, Node(file, Path(file).name, "file", "current", file, (), ""))
        for node in step.outputs.values():
            nodes[str(node)] = Node(str(node), node.name, "file", state, str(node), (step.label,), group)
    draw(path, list(nodes.values()))


def _files(name: str, given: list[Any], makers: Mapping[Any, Step]) -> list[str]:
    """The files of one input; many that nothing makes count as one: `kernels (26 files)`."""
    sources = [node for node in given if node not in makers]
    if len(sources) <= _FEW:
        return [str(node) for node in given]
    return [*(str(node) for node in given if node in makers), f"{name} ({len(sources)} files)"]
