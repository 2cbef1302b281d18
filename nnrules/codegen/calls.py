"""The C calls of kernels: each kernel rendered once for layers of one shape, the constants of all of them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnrules.catalog.kernel import load_kernel
from nnrules.codegen.ctext import array, call, unique_identifiers
from nnrules.codegen.packing import pack
from nnrules.codegen.render import render
from nnrules.graph.ir import Graph
from nnrules.plan.record import Plan
from nnrules.plan.select import work

UNNAMED = "nn_unnamed"  # what a template is rendered as before it is known whether another layer has the same


class Calls:
    """``functions`` and ``constants``: C text of what the calls that were asked for need."""

    def __init__(self, graph: Graph, plan: Plan, kernels: Path) -> None:
        self.graph, self.plan, self.kernels = graph, plan, kernels
        self._identifiers = unique_identifiers([node.name for node in graph.nodes])
        self._functions: dict[str, str] = {}
        self._constants: dict[str, str] = {}

    @property
    def functions(self) -> list[str]:
        """The kernels under their names. Where rows stream they stay functions of their own: within the loop and switch
        of the schedule, compilers have no registers left for them."""
        found = self._functions.items()
        return [_named(_apart(text) if self.plan.flows else text, name) for text, name in found]

    @property
    def constants(self) -> list[str]:
        """The arrays."""
        return list(self._constants.values())

    def statement(self, index: int, tensors: Sequence[str], rows: int = 0, indent: int = 4) -> str:
        """Runs a layer's kernel on whole tensors or, of an image that comes in rows, on what ``rows`` rows of its
        output need; ``tensors``: C expressions for the kernel's first arguments."""
        layer, node = self.plan.layers[index], self.graph.nodes[index]
        kernel = load_kernel((self.kernels / layer.template).with_suffix("").with_suffix(".toml"))
        operator, shapes = work(self.graph, node, rows)
        parameters = {**operator.parameters(*shapes), **layer.variant}
        function = self._function(layer.kernel, layer.template, kernel.known(parameters))
        packed = pack(kernel.packing, operator, parameters)
        constants = [self._constant(f"{self._identifiers[index]}_{role}", values) for role, values in packed.items()]
        scratch = [place(layer.scratch_offset)] if layer.scratch_bytes else []
        return call(function, [*tensors, *constants, *scratch], indent)

    def _function(self, kernel: str, template: str, parameters: Mapping[str, Any]) -> str:
        text = render(template, self.kernels, name=UNNAMED, **parameters)
        return self._functions.setdefault(text, f"{kernel}_{len(self._functions)}")

    def _constant(self, name: str, values: np.ndarray) -> str:
        """The array's name, another one where the same layer on fewer rows has other values."""
        text = array(name, values, "NN_WEIGHTS static const")
        if self._constants.setdefault(name, text) == text:
            return name
        return self._constant(f"{name}_of_fewer_rows", values)


def place(offset: int) -> str:
    """A C expression for a place in the arena."""
    return f"base + {offset}" if offset else "base"


def _apart(text: str) -> str:
    """A rendered kernel which compilers do not inline."""
    return re.sub(rf"^(?=static void {UNNAMED}\()", "NN_NOINLINE ", text, flags=re.MULTILINE)


def _named(text: str, name: str) -> str:
    """A rendered kernel under its name, the further lines of its parameters moved below the first; what else begins
    with the name goes along.
    """
    before, _, after = text.partition(f"{UNNAMED}(")
    parameters, _, body = after.partition(")")
    column = len(before.rpartition("\n")[2]) + len(name) + 1
    lines = ("\n" + " " * column).join(line.strip() for line in parameters.splitlines())
    return f"{before}{name}({lines}){body}".replace(UNNAMED, name)
