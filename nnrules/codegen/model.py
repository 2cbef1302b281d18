"""The C of one model on one target: source, header, self test and check program."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from nnrules.catalog.kernel import load_kernel
from nnrules.catalog.names import c_identifier
from nnrules.catalog.paths import KERNELS
from nnrules.codegen.ctext import array, call, columns, comment_text, real, unique_identifiers
from nnrules.codegen.packing import pack
from nnrules.codegen.render import render
from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node, Tensor, dump
from nnrules.plan.record import Plan
from nnrules.plan.schedule import Act
from nnrules.plan.select import layer_parameters, work

ALIGNMENT = 8
UNNAMED = "nn_unnamed"  # what a template is rendered as before it is known whether another layer has the same


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
    whole: bool = True


@dataclass(frozen=True)
class Edge:
    """An input or output of the model, for the header's macros."""

    name: str
    bytes: int
    offset: int
    scale: str
    zero_point: int
    shape: tuple[int, ...]
    layout: str
    dtype: str


class ModelCode:
    """Renders the files; every text depends on nothing but the graph, the plan, the templates and the sample."""

    def __init__(self, graph: Graph, plan: Plan, kernels: Path = KERNELS) -> None:
        self.graph, self.plan, self.kernels = graph, plan, kernels
        self.prefix = c_identifier(graph.name)
        self._identifiers = unique_identifiers([node.name for node in graph.nodes])
        self._homes = _homes(graph)
        self._functions: dict[str, str] = {}
        self._constants: list[str] = []
        self.steps = [self._step(index, node) for index, node in enumerate(graph.nodes)]
        if plan.flow is not None:
            self._flow()

    def source(self) -> str:
        """M.c"""
        return self._render(
            "program/model.c.j2",
            functions=[_named(text, name) for text, name in self._functions.items()],
            uses_arena=any("base" in step.call for step in self.steps),
            constants=self._constants,
            layers=self._layer_table(),
            arena=self._arena_table(),
        )

    def header(self) -> str:
        """M.h"""
        return self._render("program/model.h.j2", samples=self._sample_names())

    def check(self) -> str:
        """M_check.c: the program that verify and measure run."""
        return self._render("program/check.c.j2")

    def selftest(self, *sample: np.ndarray) -> str:
        """M_selftest.c: int8 arrays (NHWC, no batch) for the inputs, and the outputs that the numpy reference gives."""
        values = self.graph.run(*(each[np.newaxis] for each in sample))
        names = self._sample_names()
        arrays = [array(name, each, "const") for name, each in zip(names, sample, strict=True)]
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
            digest=sha256(dump(graph)).hexdigest(),
            arena_bytes=plan.arena_bytes,
            arena_align=ALIGNMENT,
            inputs=[self._edge(graph.tensors[name]) for name in graph.inputs],
            outputs=[self._edge(graph.tensors[name]) for name in graph.outputs],
            steps=self.steps,
            macs=sum(step.macs for step in self.steps),
            flow=self._flow() if plan.flow else None,
            **context,
        )

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
        heading = ("from", "to", "layers", "what")
        slots = sorted(self.plan.tensors, key=lambda slot: (slot.offset, slot.first))
        rows = [(str(s.offset), str(s.offset + s.bytes), f"{s.first}..{s.last}", comment_text(s.name)) for s in slots]
        return columns([heading, *rows])

    def _edge(self, tensor: Tensor) -> Edge:
        return Edge(
            name=comment_text(tensor.name),
            bytes=tensor.bytes,
            dtype=tensor.dtype,
            offset=self.plan.offset(tensor.name) if self.plan.flow is None or tensor.name != self.plan.flow.pushed else 0,
            scale=real(tensor.scale),
            zero_point=tensor.zero_point,
            shape=tensor.shape,
            layout=tensor.layout,
        )

    def _step(self, index: int, node: Node) -> Step:
        output = self.graph.tensors[node.output]
        rows = output.shape[0] if len(output.shape) > 1 else 1
        return Step(
            index=index,
            name=comment_text(node.name),
            macs=self.graph.macs(node),
            call="" if node.operator.is_alias or self._streamed(index) else self._call(index, node),
            output="" if self._streamed(index) else self._pointer(node.output),
            rows=rows,
            row_bytes=output.bytes // rows,
            whole=not self._streamed(index),
        )

    def _streamed(self, index: int) -> bool:
        flow = self.plan.flow
        return flow is not None and flow.first <= index <= flow.last

    def _flow(self) -> dict[str, Any]:
        """What the template of the rows prints."""
        flow = self.plan.flow
        assert flow is not None
        ids = {lane.tensor: f"LANE_{i}" for i, lane in enumerate(flow.lanes)}
        fires = {self.graph.nodes[i].name: f"FIRE_{i}" for i in range(flow.first, flow.last + 1)}
        schedule, line = [], list[str]()
        for event in flow.events:
            if event.act is Act.PUSH:
                if event.first:
                    line.append("NEXT")
                if line:
                    schedule.append(", ".join(line) + ",")
                line = []
            elif event.act is Act.KEEP:
                line += ["KEEP", ids[event.name], str(event.count)]
            else:
                line.append(fires[event.name])
        schedule.append(", ".join([*line, "END"]))
        return {
            "lanes": [
                {**msgspec.structs.asdict(lane), "id": ids[lane.tensor], "name": comment_text(lane.tensor)}
                for lane in flow.lanes
            ],
            "pushed": ids.get(flow.pushed, ""),
            "steps": [
                {"id": fires[self.graph.nodes[i].name], "name": comment_text(self.graph.nodes[i].name), "index": i,
                 "lines": self._fire(i, ids)}
                for i in range(flow.first, flow.last + 1)
            ],
            "schedule": schedule,
            "state_offset": flow.state_offset,
            "state_bytes": flow.state_bytes,
            "input_row": next(lane.row_bytes for lane in flow.lanes if lane.tensor == flow.pushed),
        }

    def _fire(self, index: int, ids: Mapping[str, str]) -> list[str]:
        """The lines that compute a band of a layer."""
        flow, node, layer = self.plan.flow, self.graph.nodes[index], self.plan.layers[index]
        assert flow is not None
        lanes = {lane.tensor: lane for lane in flow.lanes}
        out = lanes[node.output]
        window = node.operator.row_window(*self.graph.shapes(node))
        assert window is not None
        lines = []
        name = ids[node.output]
        if node.name in flow.sums:
            lines.append(f"const int row = state->taken++;")
            y = self._pointer(node.output) if not out.fresh else f"base + {out.fresh_offset}"
            x = f"row_at(base, state, pushed, {ids[node.inputs[0]]}, row)"
            lines.append(self._banded_call(index, node, [x, y, f"(int32_t *)(void *)(base + {flow.sums[node.name]})", "row"]))
            lines.append(f"if (row == {lanes[node.inputs[0]].height - 1}) {{ trace({index}, {y}, 0, 1, {out.row_bytes}); state->made[{name}] = 1; }}")
            return lines
        lines.append(f"const int first = state->made[{name}];")
        if out.fresh:
            place = f"base + {out.fresh_offset}"
            if out.fresh > 1:
                place += f" + first % {out.fresh} * {out.row_bytes}"
                lines.append(f"if (first % {out.fresh} == 0) state->fresh[{name}] = (uint16_t)first;")
            else:
                lines.append(f"state->fresh[{name}] = (uint16_t)first;")
        else:
            place = f"{self._pointer(node.output)} + first * {out.row_bytes}"
        lines.append(f"int8_t *const y = {place};")
        if layer.gather_bytes:
            rows = (layer.band - 1) * window.stride + (window.kernel - 1) * window.dilation + 1
            lines.append(f"gather(base + {layer.gather_offset}, base, state, pushed, {ids[node.inputs[0]]}, first * {window.stride} - {window.pad}, {rows}, {node.operator.row_padding});")
            x = [f"base + {layer.gather_offset}"]
        else:
            x = [f"row_at(base, state, pushed, {ids[each]}, first)" for each in node.inputs]
        lines.append(self._banded_call(index, node, [*x, "y"]))
        lines.append(f"trace({index}, y, (uint32_t)first, {layer.band}, {out.row_bytes});")
        lines.append(f"state->made[{name}] = (uint16_t)(first + {layer.band});")
        return lines

    def _banded_call(self, index: int, node: Node, arguments: list[str]) -> str:
        layer = self.plan.layers[index]
        kernel = load_kernel((self.kernels / layer.template).with_suffix("").with_suffix(".toml"))
        operator, shapes = work(self.graph, node, layer.band)
        parameters = {**operator.parameters(*shapes), **layer.variant}
        function = self._function(layer.kernel, layer.template, kernel.known(parameters))
        arguments = list(arguments)
        for role, values in pack(kernel.packing, operator, parameters).items():
            text = array(f"{self._identifiers[index]}_{role}", values, "NN_WEIGHTS static const")
            if text not in self._constants:
                self._constants.append(text)
            arguments.append(f"{self._identifiers[index]}_{role}")
        if layer.scratch_bytes:
            arguments.append(f"base + {layer.scratch_offset}")
        return call(function, arguments)

    def _call(self, index: int, node: Node) -> str:
        """The C call of a layer's kernel; renders the kernel unless an equal one is there, and adds the constants."""
        layer = self.plan.layers[index]
        kernel = load_kernel((self.kernels / layer.template).with_suffix("").with_suffix(".toml"))
        parameters = {**layer_parameters(self.graph, node), **layer.variant}
        function = self._function(layer.kernel, layer.template, kernel.known(parameters))
        arguments = [*map(self._pointer, node.inputs), self._pointer(node.output)]
        for role, values in pack(kernel.packing, node.operator, parameters).items():
            name = f"{self._identifiers[index]}_{role}"
            self._constants.append(array(name, values, "NN_WEIGHTS static const"))
            arguments.append(name)
        if layer.scratch_bytes:
            arguments.append(f"base + {layer.scratch_offset}" if layer.scratch_offset else "base")
        return call(function, arguments)

    def _function(self, kernel: str, template: str, parameters: Mapping[str, Any]) -> str:
        text = render(template, self.kernels, name=UNNAMED, **parameters)
        return self._functions.setdefault(text, f"{kernel}_{len(self._functions)}")

    def _pointer(self, tensor: str) -> str:
        """A C expression for where a tensor lies when it is read or written."""
        offset = self.plan.offset(tensor)
        return self._homes.get(tensor) or (f"base + {offset}" if offset else "base")


def _homes(graph: Graph) -> dict[str, str]:
    """The caller's pointers: of inputs, of outputs, and of the tensors that share their memory through reshapes."""
    homes = {name: f"inputs[{index}]" for index, name in enumerate(graph.inputs)}
    homes |= {name: f"outputs[{index}]" for index, name in enumerate(graph.outputs)}
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


def _named(text: str, name: str) -> str:
    """A rendered kernel under its name, the further lines of its parameters moved below the first; what else begins
    with the name goes along.
    """
    before, _, after = text.partition(f"{UNNAMED}(")
    parameters, _, body = after.partition(")")
    column = len(before.rpartition("\n")[2]) + len(name) + 1
    lines = ("\n" + " " * column).join(line.strip() for line in parameters.splitlines())
    return f"{before}{name}({lines}){body}".replace(UNNAMED, name)


def _described(tensor: Tensor) -> str:
    return f"{tensor.name} {_size(tensor)}"


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape))
