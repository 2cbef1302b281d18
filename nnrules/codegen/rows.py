"""The C of a program through which rows stream: its tensors, its steps, and the table of what each row sets off."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nnrules.catalog.kernel import BY_ROWS
from nnrules.catalog.names import c_identifier
from nnrules.codegen.calls import Calls, place
from nnrules.codegen.ctext import comment_text, filled, unique_identifiers
from nnrules.graph.ir import Graph, Node, Tensor
from nnrules.plan.flows import LARGEST_BYTE, LARGEST_SHORT
from nnrules.plan.record import Lane, Plan
from nnrules.plan.schedule import Act, height

INDENT = 12  # columns before a statement of a step
LEAST_SHORTENED = 4  # numbers that follow each other at one distance
LONGEST_LIST = 80  # columns of numbers in a comment


@dataclass(frozen=True)
class Track:
    """A tensor on its way, for C: ``ring`` rows from ``ring_offset`` on that are kept, ``fresh`` ones as they are made;
    a tensor that is in memory in one piece is all fresh."""

    id: str
    name: str
    ring_offset: int
    ring: int
    fresh_offset: int
    fresh: int
    row_bytes: int
    height: int
    about: str


@dataclass(frozen=True)
class RowStep:
    """A case of the switch: its name in C, the layer in words, its number and statements; ``band``: whether it is a
    band of rows."""

    id: str
    about: str
    index: int
    lines: tuple[str, ...]
    band: bool = False

    @property
    def scoped(self) -> bool:
        """Whether its statements begin with a declaration."""
        return self.lines[0].startswith("const ")


@dataclass(frozen=True)
class Band:
    """A layer that computes ``rows`` of a tensor at a time, for C: row r needs `window` rows of another tensor, from
    r * ``stride`` - ``above`` on."""

    id: str
    layer: int
    source: str
    own: str
    rows: int
    stride: int
    above: int
    window: int


@dataclass(frozen=True)
class Line:
    """Entries of the schedule that follow each other, for all rows (or parts of the end) in ``about``."""

    about: str
    entries: str
    start: int


class RowProgram:
    """What the template of the rows prints. ``pushed``: the id of the input whose rows the caller brings, ""
    where the whole input is in memory."""

    def __init__(self, graph: Graph, plan: Plan, calls: Calls) -> None:
        self.graph, self.plan, self.calls = graph, plan, calls
        self._lanes = {lane.tensor: lane for flow in plan.flows for lane in flow.lanes}
        self._ids = _ids(_apart("ROWS", graph), self._lanes)
        names = [node.name for node in graph.nodes]
        self._fires = dict(zip(names, _ids(_apart("FIRE", graph), dict.fromkeys(names)).values(), strict=True))
        self._parts = {index: flow for flow in plan.flows for index in range(flow.first, flow.last + 1)}
        self._source = plan.flow.pushed if plan.flow else ""
        self.pushed = self._ids.get(self._source, "")
        self.state_offset, self.state_bytes = plan.flows[0].state_offset, plan.flows[0].state_bytes
        self.tracks = [self._track(lane) for lane in self._lanes.values()]
        self.bands = [self._described(index) for index in self._parts if self._in_bands(index)]
        steps = [self._step(index, node) for index, node in enumerate(graph.nodes)]
        self.steps = [*(step for step in steps if step.band), *(step for step in steps if not step.band)]
        self._script = list(self._entries())

    @property
    def count_type(self) -> str:
        """Of a number of rows."""
        return _count(max(track.height for track in self.tracks))

    @property
    def line_type(self) -> str:
        """Of a line of the schedule, or of any number of rows, in two bytes or more."""
        rows = (height(self.graph, name) for name in (*self._lanes, *self.graph.inputs))
        return _count(max(LARGEST_BYTE + 1, len(self._script), *rows))

    @property
    def gathers(self) -> bool:
        """Whether any layer's rows are brought together."""
        return any(self.plan.layers[index].gather_bytes for index in self._parts)

    @property
    def windows(self) -> int:
        """The most rows that a layer needs at once."""
        return max(band.window for band in self.bands)

    @property
    def band_type(self) -> str:
        """Of what is said of a band."""
        sizes = [size for band in self.bands for size in (band.layer, band.rows, band.stride, band.above, band.window)]
        return _count(max(len(self.tracks), *sizes))

    @property
    def keeps(self) -> bool:
        """Whether any rows are kept in rings."""
        return any(track.ring for track in self.tracks)

    @property
    def reads(self) -> bool:
        """Whether rows are asked for one by one."""
        return self.keeps or any("row_at(" in line for step in self.steps for line in step.lines)

    @property
    def reads_format(self) -> bool:
        """Whether any step's constants depend on the format."""
        return any(re.search(r"\bformat\b", line) for step in self.steps for line in step.lines)

    @property
    def lines(self) -> list[Line]:
        """The schedule: equal lines once, with the numbers of the input's rows that set them off."""
        rows = self._lanes[self._source].height if self.pushed else 0
        found, start, equal = list[Line](), 0, self._equal()
        commonest = max(equal.values(), key=len)
        for entries, numbers in equal.items():
            pushed = _progressions([number for number in numbers if number < rows])
            others = numbers is commonest and len(pushed) > LONGEST_LIST
            about = ["all other rows"] if others else [f"row {pushed}"] if pushed else []
            if numbers[-1] >= rows:
                about.append("the end" if rows else "no row")
            found.append(Line(" and ".join(about), filled(entries, "    "), start))
            start += sum(entry.count(",") + 1 for entry in entries)
        return found

    @property
    def starts(self) -> list[int]:
        """For each line in its order in time, where it is in the table."""
        pairs = zip(self.lines, self._equal().values(), strict=True)
        places = {number: line.start for line, numbers in pairs for number in numbers}
        return [places[number] for number in range(len(places))]

    @property
    def start_type(self) -> str:
        """Of a place in the table."""
        return _count(max(self.starts))

    @property
    def entry_type(self) -> str:
        """Of an entry of the table."""
        return _count(max(len(self.steps) + 4, len(self.tracks), *(track.height for track in self.tracks)))

    def _equal(self) -> dict[tuple[str, ...], list[int]]:
        found: dict[tuple[str, ...], list[int]] = {}
        for number, line in enumerate(self._script):
            found.setdefault(line, []).append(number)
        return found

    def _entries(self) -> Iterator[tuple[str, ...]]:
        """Line by line what is done: up to the next row of the input, to where the first layer of a part computes its
        next rows from an input that is there, to the end."""
        line: list[str] = []
        for index, node in enumerate(self.graph.nodes):
            flow = self._parts.get(index)
            if flow is None:
                line.append(self._fires[node.name])
            elif flow.first == index:
                begins, waiting = self.graph.nodes[index].name, bool(flow.pushed)
                pushes = sum(event.act is Act.PUSH for event in flow.events)
                for event in flow.events:
                    if event.act is Act.PUSH:
                        pushes -= 1
                        if event.first:
                            yield (*line, "NEXT_ROW")
                            line = []
                        waiting = pushes > 0
                    elif event.act is Act.KEEP:
                        line.append(f"KEEP, {self._ids[event.name]}, {event.count}")
                    else:
                        if event.name == begins and not waiting and line:
                            yield (*line, "NEXT_LINE")
                            line = []
                        line.append(self._fires[event.name])
        yield (*line, "END")

    def _track(self, lane: Lane) -> Track:
        whole = not lane.fresh and lane.tensor != self._source
        kept = f", {lane.ring} kept" if lane.ring else ""
        about = "in one piece" if whole else f"{lane.fresh} fresh{kept}" if lane.fresh else f"pushed{kept}"
        return Track(
            id=self._ids[lane.tensor],
            name=comment_text(lane.tensor),
            ring_offset=lane.ring_offset,
            ring=lane.ring,
            fresh_offset=self.plan.offset(lane.tensor) if whole else lane.fresh_offset,
            fresh=lane.height if whole else lane.fresh,
            row_bytes=lane.row_bytes,
            height=lane.height,
            about=about,
        )

    def _step(self, index: int, node: Node) -> RowStep:
        name = comment_text(node.name)
        if index not in self._parts:
            return RowStep(self._fires[node.name], f"{name}, whole", index, tuple(self._whole(index, node)))
        if node.name in self._parts[index].sums:
            return RowStep(self._fires[node.name], f"{name}, summed up", index, tuple(self._sum(index, node)))
        band = self.plan.layers[index].band
        about = f"{name}, a row" if band == 1 else f"{name}, {band} rows"
        return RowStep(self._fires[node.name], about, index, tuple(self._band(index, node)), True)

    def _whole(self, index: int, node: Node) -> Iterator[str]:
        tensor = self.graph.tensors[node.output]
        rows = tensor.shape[0] if len(tensor.shape) > 1 else 1
        y = self._place(node.output)
        if not node.operator.is_alias:
            yield self.calls.statement(index, [*map(self._place, node.inputs), y], 0, INDENT)
        yield f"trace({index}, {y}, 0, {rows}, {tensor.bytes // rows});"

    def _sum(self, index: int, node: Node) -> Iterator[str]:
        """Takes all rows that there are; the counter of the output's rows is that of the rows taken until the end."""
        source, own = self._lanes[node.inputs[0]], self._ids[node.output]
        there = str(source.height) if self._is_given(source) else f"state->made[{self._ids[source.tensor]}]"
        out = self._lanes[node.output]
        y = place(out.fresh_offset) if out.fresh else self._place(node.output)
        sums = f"(int32_t *)(void *)({place(self._parts[index].sums[node.name])})"
        yield f"const int stop = {there};"
        yield f"for (int row = state->made[{own}]; row < stop; row++) {{"
        x = self._row(source.tensor, "row")
        yield "    " + self.calls.statement(index, [x, y, sums, "row"], 1, INDENT + 4)
        yield "}"
        yield f"state->made[{own}] = ({self.count_type})(stop == {source.height} ? 1 : stop);"
        yield f"if (stop == {source.height}) {{"
        yield f"    trace({index}, {y}, 0, 1, {out.row_bytes});"
        yield "}"

    def _in_bands(self, index: int) -> bool:
        """Whether a layer computes rows of a tensor, rather than sums of rows."""
        return index in self._parts and self.graph.nodes[index].name not in self._parts[index].sums

    def _described(self, index: int) -> Band:
        node, layer = self.graph.nodes[index], self.plan.layers[index]
        window = node.operator.row_window(*self.graph.shapes(node))
        assert window is not None
        several = BY_ROWS in layer.variant or layer.gather_bytes
        return Band(
            id=self._fires[node.name],
            layer=index,
            source=self._ids[node.inputs[0]],
            own=self._ids[node.output],
            rows=layer.band,
            stride=window.stride,
            above=window.pad,
            window=self._seen(node, layer.band) if several else 1,
        )

    def _band(self, index: int, node: Node) -> Iterator[str]:
        """A band of rows; at the end of an image that it does not divide, fewer."""
        out, layer = self._lanes[node.output], self.plan.layers[index]
        rest = out.height % layer.band
        if not rest:
            yield from self._fire(index, node, layer.band, INDENT)
        elif BY_ROWS in layer.variant and rest > 1 and layer.band % rest == 0:
            stride = self._described(index).stride
            yield f"for (int i = 0; i < now.count; i += {rest}) {{"
            x, y = f"now.x + {_times('i', stride)}", f"now.y + {_times('i', out.row_bytes)}"
            yield "    " + self.calls.statement(index, [x, y], rest, INDENT + 4)
            yield "}"
        else:
            for head, rows in ((f"if (now.count == {layer.band}) {{", layer.band), ("} else {", rest)):
                yield head
                for line in self._fire(index, node, rows, INDENT + 4):
                    yield f"    {line}"
            yield "}"

    def _seen(self, node: Node, rows: int) -> int:
        """Rows of the input that so many of the output need."""
        window = node.operator.row_window(*self.graph.shapes(node))
        assert window is not None
        return (rows - 1) * window.stride + (window.kernel - 1) * window.dilation + 1

    def _fire(self, index: int, node: Node, rows: int, indent: int) -> Iterator[str]:
        layer = self.plan.layers[index]
        if BY_ROWS in layer.variant:
            x = ["now.x"]
        elif not layer.gather_bytes:
            own = _times("now.first", self._described(index).stride)
            x = ["now.x[0]", *(self._row(name, own) for name in node.inputs[1:])]
        else:
            x = [place(layer.gather_offset)]
            sizes = f"{self._seen(node, rows)}, {self._lanes[node.inputs[0]].row_bytes}"
            yield f"gather({x[0]}, now.x, {sizes}, {_outside(self.graph.tensors[node.inputs[0]], node)});"
        yield self.calls.statement(index, [*x, "now.y"], rows, indent)

    def _row(self, tensor: str, row: str) -> str:
        return f"row_at(base{self.argument}, {self._ids[tensor]}, {row})"

    @property
    def argument(self) -> str:
        """What a function that reads rows is handed besides the arena."""
        return ", pushed" if self.pushed else ""

    @property
    def parameter(self) -> str:
        """The same in its declaration."""
        return ", const int8_t *pushed" if self.pushed else ""

    def _is_given(self, lane: Lane) -> bool:
        """Whether a tensor is there before the part begins."""
        made = {self.graph.nodes[index].output for index in self._parts}
        return lane.tensor not in {*made, self._source}

    def _place(self, tensor: str) -> str:
        return place(self.plan.offset(tensor))


def _outside(tensor: Tensor, node: Node) -> int:
    """A byte of the rows above and below an image, as they are stored; no maximum is below the lowest level."""
    value, packing = node.operator.row_padding, tensor.packing
    if packing is None:
        return value
    code = max(value - packing.low, 0)
    byte = sum(code << bit for bit in range(0, 8, packing.bits))
    return byte - 256 if byte > LARGEST_BYTE // 2 else byte


def _apart(word: str, graph: Graph) -> str:
    """The word as a beginning of names, another one where the macros of the header begin with it too."""
    return f"OWN_{word}" if c_identifier(graph.name).upper().startswith(word) else word


def _ids(prefix: str, names: Mapping[str, object]) -> dict[str, str]:
    """Names of C constants."""
    return {n: f"{prefix}_{own}" for n, own in zip(names, unique_identifiers([n.upper() for n in names]), strict=True)}


def _count(largest: int) -> str:
    """The smallest C type that holds numbers up to ``largest``, as int does."""
    if largest <= LARGEST_BYTE:
        return "uint8_t"
    return "uint16_t" if largest <= LARGEST_SHORT else "int32_t"


def _times(text: str, factor: int) -> str:
    return text if factor == 1 else f"{text} * {factor}"


def _progressions(numbers: Sequence[int]) -> str:
    """Ascending numbers in short.

    >>> _progressions([0, 1, 2, 3, 7, 9, 11, 13, 20])
    '0 .. 3, 7, 9 .. 13, 20'
    """
    parts, at = [], 0
    while at < len(numbers):
        stop = at + 1
        while stop < len(numbers) and numbers[stop] - numbers[stop - 1] == numbers[at + 1] - numbers[at]:
            stop += 1
        if stop - at < LEAST_SHORTENED:
            stop = at + 1
            parts.append(str(numbers[at]))
        else:
            second = "" if numbers[at + 1] == numbers[at] + 1 else f", {numbers[at + 1]}"
            parts.append(f"{numbers[at]}{second} .. {numbers[stop - 1]}")
        at = stop
    return ", ".join(parts)
