"""The C calls of kernels: each kernel rendered once for layers of one shape, the constants of all of them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nnrules.catalog.kernel import load_kernel
from nnrules.codegen.ctext import array, call, unique_identifiers
from nnrules.codegen.packing import Constants, pack
from nnrules.codegen.render import render
from nnrules.graph.ir import Graph, Node
from nnrules.plan.record import Plan
from nnrules.plan.select import layer_parameters, work

ROW_ALIGNMENT = 8  # bytes: of a table's row
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
        formats = [msgspec.structs.replace(node, operator=each) for each in node.formats] or [node]
        functions, packed = zip(*(self._packed(index, each, rows) for each in formats), strict=True)
        scratch = [place(layer.scratch_offset)] if layer.scratch_bytes else []
        if len(set(functions)) == 1:
            constants = [self._rows_of(index, role, [each[role] for each in packed]) for role in packed[0]]
            return call(functions[0], [*tensors, *constants, *scratch], indent)
        calls: dict[str, list[int]] = {}
        for number, (function, arrays) in enumerate(zip(functions, packed, strict=True)):
            constants = [self._own(index, role, number, packed) for role in arrays]
            calls.setdefault(call(function, [*tensors, *constants, *scratch], indent + 4), []).append(number)
        return _switch(calls, indent)

    def _packed(self, index: int, node: Node, rows: int) -> tuple[str, Constants]:
        """The name of a layer's function and its constants, those of one format."""
        layer = self.plan.layers[index]
        kernel = load_kernel((self.kernels / layer.template).with_suffix("").with_suffix(".toml"))
        operator, _ = work(self.graph, node, rows)
        parameters = {**layer_parameters(self.graph, node, rows), **layer.variant}
        function = self._function(layer.kernel, layer.template, kernel.known(parameters))
        return function, pack(kernel.packing, operator, parameters)

    def _rows_of(self, index: int, role: str, arrays: Sequence[np.ndarray]) -> str:
        """A C expression for the constants, by format where they differ: a row of a table for each."""
        name, first = f"{self._identifiers[index]}_{role}", arrays[0]
        if all(np.array_equal(each, first) for each in arrays):
            return self._constant(name, first)
        spare = -first.nbytes % ROW_ALIGNMENT // first.itemsize
        table = np.stack([np.pad(each.reshape(-1), (0, spare)) for each in arrays])
        return f"{self._constant(name, table)} + format * {table.shape[1]}"

    def _own(self, index: int, role: str, number: int, packed: Sequence[Constants]) -> str:
        """The name of one format's constants, those of the first one that has the same."""
        name, mine = f"{self._identifiers[index]}_{role}", packed[number][role]
        same = [n for n, each in enumerate(packed) if role in each and np.array_equal(each[role], mine)]
        return self._constant(name if len(same) == len(packed) else f"{name}_format_{same[0]}", mine)

    def _function(self, kernel: str, template: str, parameters: Mapping[str, Any]) -> str:
        text = render(template, self.kernels, name=UNNAMED, **parameters)
        return self._functions.setdefault(text, f"{kernel}_{len(self._functions)}")

    def _constant(self, name: str, values: np.ndarray) -> str:
        """The array's name, another one where the same layer on fewer rows has other values."""
        text = array(name, values, "NN_WEIGHTS static const")
        if self._constants.setdefault(name, text) == text:
            return name
        return self._constant(f"{name}_of_fewer_rows", values)


def _switch(calls: Mapping[str, Sequence[int]], indent: int) -> str:
    """Statements by the formats that they are for, the last one for all others."""
    space, lines = " " * indent, ["switch (format) {"]
    for statement, numbers in calls.items():
        last = statement == list(calls)[-1]
        lines += [f"{space}default:"] if last else [f"{space}case {number}:" for number in numbers]
        lines += [f"{space}    {statement}", f"{space}    break;"]
    return "\n".join([*lines, f"{space}}}"])


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
