"""The C of one model on one target: source, header, self test and check program."""

import math
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from nnrules.catalog.names import c_identifier
from nnrules.catalog.paths import KERNELS
from nnrules.codegen.calls import Calls, place
from nnrules.codegen.ctext import array, columns, comment_text, real
from nnrules.codegen.render import render
from nnrules.codegen.rows import RowProgram
from nnrules.error import UserError
from nnrules.graph.formats import reaches
from nnrules.graph.ir import Graph, Node, Packing, Tensor, dump
from nnrules.graph.packed import packed
from nnrules.plan.record import Plan

ALIGNMENT = 8
COUNTERS, COUNTERS_AND_FORMAT = 8, 16  # bytes of the state of a program that does not stream
IMAGE_AXES = 3


@dataclass(frozen=True)
class Step:
    """One layer as the template of the source prints it."""

    index: int
    name: str
    macs: int
    call: str
    output: str
    rows: int
    row_bytes: int


@dataclass(frozen=True)
class Pushes:
    """How an image is handed over row by row; ``state``: the place in the arena where the rows are counted."""

    rows: int
    row_bytes: int
    state: int


@dataclass(frozen=True)
class PackedRows:
    """How rows come into a trace as bytes: of each layer's output channels, bits and lowest level; and the values of
    the ``longest`` row that is packed."""

    layers: tuple[tuple[int, int, int], ...]
    longest: int


@dataclass(frozen=True)
class Edge:
    """An input or output of the model, for the header's macros. ``argument``: its name where it is handed over;
    ``offset``: None where it is not in the arena; ``fraction_bits``: by format, none where there is only one."""

    name: str
    argument: str
    bytes: int
    offset: int | None
    scale: str
    zero_point: int
    shape: tuple[int, ...]
    layout: str
    dtype: str
    fraction_bits: tuple[int, ...]


class ModelCode:
    """Renders the files; every text depends on nothing but the graph, the plan, the templates and the sample."""

    def __init__(self, graph: Graph, plan: Plan, kernels: Path = KERNELS) -> None:
        self.digest = sha256(dump(graph)).hexdigest()
        graph = packed(graph, plan.widths or ())
        self.graph, self.plan, self.kernels = graph, plan, kernels
        self.prefix = c_identifier(graph.name)
        self._homes = _homes(graph)
        self.calls = Calls(graph, plan, kernels)
        self.rows = RowProgram(graph, plan, self.calls) if plan.flows else None
        self.steps = [self._step(index, node) for index, node in enumerate(graph.nodes)]

    def source(self) -> str:
        """M.c"""
        return self._render(
            "program/model.c.j2",
            functions=self.calls.functions,
            uses_arena=any("base" in step.call for step in self.steps),
            constants=self.calls.constants,
            layers=self._layer_table(),
            arena=self._arena_table(),
            packed=self._packed_rows(),
        )

    def header(self) -> str:
        """M.h"""
        return self._render("program/model.h.j2", samples=self._sample_names())

    def check(self) -> str:
        """M_check.c: the program that verify and measure run."""
        return self._render("program/check.c.j2")

    def selftest(self, *sample: np.ndarray) -> str:
        """M_selftest.c: int8 arrays (NHWC, no batch) for the inputs, the selector (1,) among them, and the outputs that
        the numpy reference gives."""
        values = self.graph.run(*(each[np.newaxis] for each in sample))
        names = self._sample_names()
        inputs = sample[: len(names)]
        arrays = [array(name, each, "const") for name, each in zip(names, inputs, strict=True)]
        if self.graph.selector:
            arrays.append(f"const int {self.prefix}_selftest_format = {int(sample[-1][0])};\n")
        arrays += [
            array(f"expected_{index}", values[name][0].reshape(-1).view(np.int8), "static const")
            for index, name in enumerate(self.graph.outputs)
        ]
        return self._render("program/selftest.c.j2", arrays=arrays, samples=names)

    def _render(self, template: str, **context: Any) -> str:
        graph, plan = self.graph, self.plan
        return render(
            template,
            self.kernels,
            model=graph.name,
            note=f", {comment_text(graph.note)}" if graph.note else "",
            prefix=self.prefix,
            macro=self.prefix.upper(),
            target=plan.target,
            digest=self.digest,
            mark=f"{int(self.digest[:8], 16) | 1:08x}",  # the model's own, not 0
            arena_bytes=plan.arena_bytes,
            arena_align=ALIGNMENT,
            inputs=[self._edge("input", index, name) for index, name in enumerate(graph.inputs)],
            outputs=[self._edge("output", index, name) for index, name in enumerate(graph.outputs)],
            steps=self.steps,
            macs=sum(step.macs for step in self.steps),
            rows=self.rows,
            pushes=self._pushes(),
            formats=graph.formats,
            reach=self._reach(),
            **context,
        )

    def _reach(self) -> list[int]:
        """For each format the largest magnitude of an input, as a power of two."""
        tensor = self.graph.tensors[self.graph.inputs[0]]
        return [math.frexp(largest)[1] - 1 for largest in reaches(tensor)]

    def _pushes(self) -> Pushes | None:
        """None with several inputs, or where the arena has no room beside the input."""
        if len(self.graph.inputs) > 1:
            return None
        tensor = self.graph.tensors[self.graph.inputs[0]]
        rows = tensor.shape[0] if len(tensor.shape) == IMAGE_AXES else 1
        state = self.rows.state_offset if self.rows else self._beside(tensor)
        return None if state is None else Pushes(rows, tensor.bytes // rows, state)

    def _beside(self, tensor: Tensor) -> int | None:
        """Where a program that does not stream counts the rows: behind the input, or before it."""
        start, counters = self.plan.offset(tensor.name), COUNTERS_AND_FORMAT if self.graph.selector else COUNTERS
        stop = -(-(start + tensor.bytes) // ALIGNMENT) * ALIGNMENT
        if stop + counters <= self.plan.arena_bytes:
            return stop
        return start - counters if start >= counters else None

    def _packed_rows(self) -> PackedRows | None:
        """None where all tensors are bytes."""
        outputs = [self.graph.tensors[node.output] for node in self.graph.nodes]
        if not any(tensor.packing for tensor in outputs):
            return None
        rows = [
            tensor.size // (tensor.shape[0] if len(tensor.shape) > 1 else 1) for tensor in outputs if tensor.packing
        ]
        layers = [(tensor.packing or Packing(8, 0), tensor.shape[-1] if tensor.shape else 1) for tensor in outputs]
        return PackedRows(tuple((channels, each.bits, each.low) for each, channels in layers), max(rows))

    def _sample_names(self) -> list[str]:
        """The self test's inputs: <model>_selftest_input, numbered where there are several."""
        name, count = f"{self.prefix}_selftest_input", len(self.graph.inputs)
        return [name] if count == 1 else [f"{name}_{index}" for index in range(count)]

    def _layer_table(self) -> list[str]:
        """The layers for the comment at the top of the source."""
        tensors = self.graph.tensors
        heading = ("", "layer", "operator", "inputs -> output", "MACs", "kernel")
        rows = [
            (
                str(index),
                comment_text(node.name),
                node.operator.op,
                comment_text(
                    ", ".join(_described(tensors[n]) for n in node.inputs) + " -> " + _size(tensors[node.output])
                ),
                f"{self.graph.macs(node):,}",
                self.plan.layers[index].kernel or "none: the same memory",
            )
            for index, node in enumerate(self.graph.nodes)
        ]
        return columns([heading, *rows])

    def _arena_table(self) -> list[str]:
        """The arena's map for the comment at the top of the source, in order of the offsets."""
        heading = ("from", "to", "steps" if self.rows else "layers", "what")
        slots = sorted(self.plan.tensors, key=lambda slot: (slot.offset, slot.first))
        rows = [(str(s.offset), str(s.offset + s.bytes), f"{s.first}..{s.last}", comment_text(s.name)) for s in slots]
        return columns([heading, *rows])

    def _edge(self, kind: str, index: int, name: str) -> Edge:
        tensor = self.graph.tensors[name]
        return Edge(
            name=comment_text(tensor.name),
            argument=_argument(kind, index, len(self.graph.inputs if kind == "input" else self.graph.outputs)),
            bytes=tensor.bytes,
            dtype=tensor.dtype,
            offset=None if self.plan.flow is not None and name == self.plan.flow.pushed else self.plan.offset(name),
            scale=real(tensor.scale),
            zero_point=tensor.zero_point,
            shape=tensor.shape,
            layout=tensor.layout,
            fraction_bits=tuple(1 - math.frexp(scale)[1] for scale in tensor.scales),
        )

    def _step(self, index: int, node: Node) -> Step:
        output = self.graph.tensors[node.output]
        rows = output.shape[0] if len(output.shape) > 1 else 1
        apart = node.operator.is_alias or self.rows is not None
        return Step(
            index=index,
            name=comment_text(node.name),
            macs=self.graph.macs(node),
            call=""
            if apart
            else self.calls.statement(index, [*map(self._pointer, node.inputs), self._pointer(node.output)]),
            output="" if self.rows is not None else self._pointer(node.output),
            rows=rows,
            row_bytes=output.bytes // rows,
        )

    def _pointer(self, tensor: str) -> str:
        """A C expression for where a tensor lies when it is read or written."""
        return self._homes.get(tensor) or place(self.plan.offset(tensor))


def _homes(graph: Graph) -> dict[str, str]:
    """The caller's pointers: of inputs, of outputs, and of the tensors that share their memory through reshapes."""
    homes = {name: _argument("input", index, len(graph.inputs)) for index, name in enumerate(graph.inputs)}
    homes |= {name: _argument("output", index, len(graph.outputs)) for index, name in enumerate(graph.outputs)}
    aliases = [(node.inputs[0], node.output) for node in graph.nodes if node.operator.is_alias]
    for source, view in reversed(aliases):
        if view in homes:
            homes.setdefault(source, homes[view])
    for source, view in aliases:
        if source in homes:
            homes.setdefault(view, homes[source])
            if homes[view] != homes[source]:
                raise UserError(
                    f"{graph.name}: output '{view}'", f"is only another shape of '{source}'", "leave it out"
                )
    return homes


def _argument(kind: str, index: int, count: int) -> str:
    """The name of a pointer that <model>_run takes: numbered where there are several."""
    return kind if count == 1 else f"{kind}_{index}"


def _described(tensor: Tensor) -> str:
    return f"{tensor.name} {_size(tensor)}"


def _size(tensor: Tensor) -> str:
    width = f" of {tensor.packing.bits} bits" if tensor.packing else ""
    return "x".join(map(str, tensor.shape)) + width
