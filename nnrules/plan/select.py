"""The kernels of all layers: the fewest instructions that fit, and why the others were not taken.

A kernel with parameters of its own (tile sizes, weights as int8 or int16) is a candidate in each of its variants.
Which of them to take is a knapsack over the layers, see nnrules.plan.knapsack. Packed weights are bounded by
`extra_weights`, in units of GRAIN bytes a layer; constants and code by the flash, to the byte.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from nnrules.catalog.kernel import ALONE, BY_ROWS, Kernel
from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node
from nnrules.graph.operator import Operator, Parameter, Shape
from nnrules.graph.packed import packing_parameters
from nnrules.plan.costs import Costs, place
from nnrules.plan.knapsack import Choice, cheapest, least_flash, total_flash
from nnrules.plan.record import Refusal, Room
from nnrules.plan.schedule import aligned, height, sums_up

GRAIN = 64
CALL_BYTES = 32  # of code that calls a layer's kernel
COPYING = 0.35  # instructions a byte of rows that are copied
CALLING = 220  # instructions from one band to the next, with what rows that are kept take beside COPYING
STEPS = tuple(1024 << power for power in range(8))  # of more room, to find what it would buy


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel in one of its variants on one layer, with the layer's parameters and the variant's together.

    ``variant``: with BY_ROWS where the kernel takes its rows one by one; ``instructions``: of a whole inference;
    ``scratch_bytes``: working memory of the kernel; ``gather_bytes``: of the rows that it sees at once, where they have
    to be brought together; ``in_place``: whether the output may start at the first input's address.
    """

    kernel: Kernel
    variant: dict[str, int]
    parameters: dict[str, Parameter]
    instructions: float
    weight_bytes: int
    code_bytes: int
    scratch_bytes: int
    gather_bytes: int = 0
    in_place: bool = False

    @property
    def working_bytes(self) -> int:
        """Gathered rows and scratch, each aligned."""
        return aligned(self.gather_bytes) + aligned(self.scratch_bytes)

    @property
    def function(self) -> str:
        """Equal where layers share the C function."""
        return f"{self.kernel.name} {json.dumps(self.parameters, sort_keys=True)}"

    @property
    def name(self) -> str:
        """The kernel and its variant, for people."""
        return _label(self.kernel, self.variant)


Selection = tuple[Candidate | None, tuple[Refusal, ...]]


@dataclass(frozen=True)
class Limit:
    """What a layer may take beside the bytes that are in use then. `bytes`: working memory, and its output where it
    sees whole tensors and does not work in place; `output`: those bytes, 0 where rows stream; `in_place`: it must."""

    bytes: int
    output: int = 0
    in_place: bool = False

    def refusal(self, candidate: Candidate) -> str | None:
        """Why the memory does not do, None where it does."""
        if self.in_place and not candidate.in_place:
            return "does not work in place"
        taken = self.taken(candidate)
        return f"needs {taken:,} bytes, there are {self.bytes:,}" if taken > self.bytes else None

    def taken(self, candidate: Candidate) -> int:
        """Bytes."""
        return candidate.working_bytes + (0 if candidate.in_place else self.output)


@dataclass(frozen=True)
class Flash:
    """A bound on kernels and constants together. `bytes`: how much; `by`: what says so, "budget" or "target";
    `constants`: the bytes of a layer's arrays as a candidate packs them, given its operator in every format."""

    bytes: int
    by: str
    constants: Callable[[Sequence[Operator], Candidate], int]


class Offers:
    """What kernels there are for the layers of a graph, each looked up once.

    ``costs``: what was measured on the target; the kernels' own estimates stand in for what was not.
    """

    def __init__(
        self, graph: Graph, kernels: Iterable[Kernel], isa: tuple[str, ...], costs: Costs | None = None
    ) -> None:
        self.graph, self.kernels, self.isa, self.costs = graph, tuple(kernels), isa, costs or Costs()
        self._known: dict[tuple[int, int], tuple[list[Candidate], dict[str, str]]] = {}
        self._runs: dict[str, Counter[str]] = {}

    def candidates(self, index: int, band: int = 0) -> tuple[list[Candidate], dict[str, str]]:
        """See candidates(); nothing for a reshape."""
        node = self.graph.nodes[index]
        if (index, band) not in self._known:
            nothing = node.operator.is_alias
            given = self.graph, node, self.kernels, self.isa, self.costs, band, self._runs
            self._known[index, band] = ([], {}) if nothing else candidates(*given)
        return self._known[index, band]

    def least(self, index: int, band: int) -> float:
        """The fewest instructions of a layer that some kernel has, which needs one."""
        return min(candidate.instructions for candidate in self.candidates(index, band)[0])

    def select(
        self,
        extra_weights: float = 1.0,
        flash: Flash | None = None,
        bands: Mapping[int, int] | None = None,
        limits: Mapping[int, Limit] | None = None,
    ) -> tuple[list[Selection], Room]:
        """For each node, the candidate taken (None for a reshape) and why each other one was not; and what bounded
        them.

        The packed weights of all layers together may be larger than as int8 by ``extra_weights`` times that size (those
        of less than 8 bits: see _with_extra), or are as small as they get, unless only larger ones keep the bound on
        the ``flash``. Where nothing keeps that, the smallest are taken. ``bands``: rows that a layer computes at a
        time, of those through which rows stream; ``limits``: on what a layer's kernel takes of the arena, such that
        each has one. Raises UserError where a layer has no kernel.
        """
        graph, rows, within = self.graph, bands or {}, limits or {}
        found = [_within(self.candidates(i, rows.get(i, 0)), within.get(i)) for i in range(len(graph.nodes))]
        weights = int(sum(_with_extra(node.operator, extra_weights) for node in graph.nodes))
        operators = (in_formats(graph, node, rows.get(i, 0)) for i, node in enumerate(graph.nodes))
        layers = [(operator, fitting) for operator, (fitting, _) in zip(operators, found, strict=True) if fitting]
        numbers, room = _Selector(layers, weights, flash).select()
        taken = iter(fitting[number] for number, (_, fitting) in zip(numbers, layers, strict=True))
        result: list[Selection] = []
        for fitting, refused in found:
            own = next(taken) if fitting else None
            others = {c.name: _price(c) for c in fitting if c is not own}
            result.append((own, tuple(Refusal(name, reason) for name, reason in {**refused, **others}.items())))
        return result, room


def _with_extra(operator: Operator, extra_weights: float) -> float:
    """Bytes that a layer's weights may take on average: those of a few bits are so for their size, but three may take
    four, as the fast kernels read them."""
    most = {8: extra_weights, 3: min(extra_weights, 1 / 3)}
    return operator.weight_bytes() * (1 + most.get(operator.weight_bits, 0))


def _within(
    found: tuple[list[Candidate], dict[str, str]], limit: Limit | None
) -> tuple[list[Candidate], dict[str, str]]:
    """Candidates and refusals when those that take too much are refused too."""
    if limit is None:
        return found
    reasons = {candidate.name: limit.refusal(candidate) for candidate in found[0]}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    return [candidate for candidate in found[0] if candidate.name not in refused], {**found[1], **refused}


@dataclass(frozen=True)
class _Selector:
    """`layers`: each one's operator in every format and candidates; `weights`: room for the packed ones, in bytes."""

    layers: Sequence[tuple[Sequence[Operator], Sequence[Candidate]]]
    weights: int
    flash: Flash | None

    def select(self) -> tuple[tuple[int, ...], Room]:
        """The number of the candidate taken for each layer, and what bounded them."""
        taken = self._light(self.weights)
        size = None if self.flash is None else self._size(taken)
        if self.flash is None or size is None or size <= self.flash.bytes:
            used = sum(candidate.weight_bytes for candidate in self._chosen(taken))
            room = self._room(taken, "extra_weights", self.weights, used, self._light)
        else:
            taken = self._small(self.flash.bytes)
            size = self._size(taken)
            room = self._room(taken, self.flash.by, self.flash.bytes, size, self._small)
        least = least_flash(self._sized) if self.flash is not None and self.flash.by == "budget" else None
        return taken, msgspec.structs.replace(room, flash=size, least=least)

    def _light(self, room: int) -> tuple[int, ...]:
        """The fewest instructions whose weights fit, or of the lightest selections."""
        light = [[Choice(c.instructions, _grains(c)) for c in fitting] for _, fitting in self.layers]
        taken = cheapest(light, weights=self._grains(room))
        assert taken is not None
        return taken

    def _small(self, room: int) -> tuple[int, ...]:
        """The fewest instructions that fit into the flash, of those whose weights fit if there are any, or of the
        smallest selections."""
        taken = cheapest(self._sized, flash=room)
        if taken is None:
            taken = cheapest(self._sized, flash=least_flash(self._sized))
            assert taken is not None
            return taken
        most = self._grains(self.weights)
        if sum(map(_grains, self._chosen(taken))) <= most:
            return taken
        return cheapest(self._sized, weights=most, flash=room) or taken

    def _grains(self, room: int) -> int:
        """The most that packed weights may take: `room` bytes, or what the lightest selections take."""
        return max(room // GRAIN, sum(min(map(_grains, fitting)) for _, fitting in self.layers))

    def _chosen(self, taken: Sequence[int]) -> list[Candidate]:
        return [fitting[number] for number, (_, fitting) in zip(taken, self.layers, strict=True)]

    def _size(self, taken: Sequence[int]) -> int:
        """Bytes of flash."""
        pairs = zip(self.layers, self._chosen(taken), strict=True)
        return total_flash(self._choice(operators, candidate) for (operators, _), candidate in pairs)

    def _choice(self, operators: Sequence[Operator], candidate: Candidate) -> Choice:
        assert self.flash is not None
        own = self.flash.constants(operators, candidate) + CALL_BYTES
        return Choice(candidate.instructions, _grains(candidate), own, candidate.function, candidate.code_bytes)

    @cached_property
    def _sized(self) -> list[list[Choice]]:
        return [[self._choice(operators, candidate) for candidate in fitting] for operators, fitting in self.layers]

    def _room(
        self, taken: tuple[int, ...], by: str, room: int, used: int, within: Callable[[int], tuple[int, ...]]
    ) -> Room:
        """What bounded them; and what is the least of STEPS more of the same that would buy anything."""
        now = sum(candidate.instructions for candidate in self._chosen(taken))
        if now <= sum(min(candidate.instructions for candidate in fitting) for _, fitting in self.layers):
            return Room()
        for more in STEPS:
            then = sum(candidate.instructions for candidate in self._chosen(within(room + more)))
            if then < now:
                return Room(by=by, room=room, used=used, more=more, saved=now - then)
        return Room(by=by, room=room, used=used)


def _grains(candidate: Candidate) -> int:
    return -(-candidate.weight_bytes // GRAIN)


def kernel_op(graph: Graph, node: Node, band: int = 0) -> str:
    """The name of the operator that kernels are found by."""
    index = [each.output for each in graph.nodes].index(node.output)
    return "average_rows" if band and sums_up(graph, index) else node.operator.op


def work(graph: Graph, node: Node, band: int = 0) -> tuple[Operator, list[Shape]]:
    """What a kernel computes at once: the operator and the inputs' shapes, of the layer or of ``band`` rows of it."""
    shapes = graph.shapes(node)
    window = node.operator.row_window(*shapes) if band else None
    if window is None or kernel_op(graph, node, band) != node.operator.op:
        return node.operator, shapes
    rows = (band - 1) * window.stride + (window.kernel - 1) * window.dilation + 1
    return node.operator.on_rows(), [(rows, *shape[1:]) for shape in shapes]


def in_formats(graph: Graph, node: Node, band: int = 0) -> list[Operator]:
    """The same operator in each format, or the only one."""
    nodes = [msgspec.structs.replace(node, operator=each) for each in node.formats] or [node]
    return [work(graph, each, band)[0] for each in nodes]


def layer_parameters(graph: Graph, node: Node, band: int = 0) -> dict[str, Parameter]:
    """What kernels are selected on and rendered with."""
    operator, shapes = work(graph, node, band)
    return {**operator.parameters(*shapes), **packing_parameters(graph, node)}


def candidates(
    graph: Graph,
    node: Node,
    kernels: Sequence[Kernel],
    isa: tuple[str, ...],
    costs: Costs,
    band: int = 0,
    known: dict[str, Counter[str]] | None = None,
) -> tuple[list[Candidate], dict[str, str]]:
    """What can run a layer, ``band`` rows at a time (fewer at the image's end) or (0) on whole tensors, and the reasons
    of what cannot.

    ``known``: what is found out once for all layers of the graph, kept there. Raises UserError where nothing can.
    """
    fitting, refused = sort_out(graph, node, kernels, isa, costs, band, {} if known is None else known)
    if not fitting:
        reasons = ", ".join(f"{name} {reason}" for name, reason in refused.items())
        reasons = reasons or f"there is no kernel for {kernel_op(graph, node, band)}"
        raise UserError(
            f"{graph.name}: layer '{node.name}'", reasons, "add a kernel under kernels/ or change the layer"
        )
    return fitting, refused


def sort_out(
    graph: Graph,
    node: Node,
    kernels: Sequence[Kernel],
    isa: tuple[str, ...],
    costs: Costs,
    band: int,
    known: dict[str, Counter[str]],
) -> tuple[list[Candidate], dict[str, str]]:
    """See candidates(); neither raises nor keeps anything back."""
    own, whole = layer_parameters(graph, node, band), layer_parameters(graph, node)
    formats = [layer_parameters(graph, msgspec.structs.replace(node, operator=each), band) for each in node.formats]
    fitting, refused = [], {}
    op = kernel_op(graph, node, band)
    seen = rows_seen(graph, node, band)
    rest = height(graph, node.output) % band if band and op == node.operator.op else 0
    last = layer_parameters(graph, node, rest) if rest else own
    for kernel, variant in ((k, v) for k in kernels if k.op == op for v in k.variants()):
        taken = {**variant, BY_ROWS: 1} if seen and kernel.rows else variant
        gathered = 0 if BY_ROWS in taken else seen
        parameters = {**own, **taken}
        company = _company(graph, kernel, isa, whole, known)
        reason = kernel.refusal({**parameters, **company}, isa)
        if reason is None and node.formats:
            reason = "needs a single format" if kernel.stream else _refusal(kernel, formats, {**taken, **company}, isa)
        if reason is None and rest and (fault := kernel.refusal({**last, **taken, **company}, isa)):
            reason = f"{fault}, also at the image's end, where rows are left: {rest}"
        if reason is None:
            instructions = _instructions(graph, node, costs, kernel, parameters, {**whole, **variant}, band)
            fitting.append(
                Candidate(
                    kernel=kernel,
                    variant=taken,
                    parameters=parameters,
                    instructions=instructions + gathered * runs(graph, node, band) * COPYING,
                    weight_bytes=kernel.weight_bytes(parameters),
                    code_bytes=costs.code(kernel, parameters),
                    scratch_bytes=max(kernel.scratch_bytes(parameters), kernel.scratch_bytes({**last, **taken})),
                    gather_bytes=gathered,
                    in_place=kernel.runs_in_place(parameters),
                )
            )
        else:
            refused[_label(kernel, taken)] = reason
    return fitting, refused


def _refusal(
    kernel: Kernel, formats: Sequence[dict[str, Parameter]], more: Mapping[str, int], isa: tuple[str, ...]
) -> str | None:
    """Why a kernel cannot run a layer in one of its formats."""
    return next((fault for each in formats if (fault := kernel.refusal({**each, **more}, isa))), None)


def _company(
    graph: Graph, kernel: Kernel, isa: tuple[str, ...], whole: dict[str, Parameter], known: dict[str, Counter[str]]
) -> dict[str, int]:
    """See ALONE; ``known`` by kernel: how many layers it runs with the same parameters."""
    if not any(name in text for text in kernel.when for name in ALONE):
        return ALONE
    if kernel.name not in known:
        layers = [layer_parameters(graph, node) for node in graph.nodes if node.operator.op == kernel.op]
        some = kernel.variants()[0]
        fitting = [each for each in layers if kernel.refusal({**each, **some}, isa) is None]
        known[kernel.name] = Counter(place(kernel, each) for each in fitting)
    return {"alike": known[kernel.name][place(kernel, whole)], "kinds": len(known[kernel.name])}


def runs(graph: Graph, node: Node, band: int) -> int:
    """How often a layer's kernel is called in an inference."""
    if not band:
        return 1
    rows = node.inputs[0] if kernel_op(graph, node, band) != node.operator.op else node.output
    return -(-height(graph, rows) // band)


def rows_seen(graph: Graph, node: Node, band: int) -> int:
    """Bytes of the input's rows that a kernel sees at once, where they do not lie one after the other; else 0."""
    window = node.operator.row_window(*graph.shapes(node)) if band else None
    if window is None or kernel_op(graph, node, band) != node.operator.op:
        return 0
    inside = window.pad == 0 and window.stride * (height(graph, node.output) - 1) < height(graph, node.inputs[0])
    if window.kernel == 1 and 1 in (window.stride, band) and inside:
        return 0
    rows = work(graph, node, band)[1][0][0]
    return rows * graph.tensors[node.inputs[0]].bytes // height(graph, node.inputs[0])


def _instructions(
    graph: Graph,
    node: Node,
    costs: Costs,
    kernel: Kernel,
    parameters: dict[str, Parameter],
    whole: dict[str, Parameter],
    band: int,
) -> float:
    """Of an inference. Where it was measured on the whole layer and not on a band, the estimates are corrected by what
    they are off there."""
    if not band:
        return costs.instructions(kernel, parameters)
    times = runs(graph, node, band)
    if kernel_op(graph, node, band) != node.operator.op:  # its parameters are those of the image
        return kernel.instructions(parameters) + CALLING * times
    measured = costs.measured(kernel, whole)
    off = measured / kernel.instructions(whole) if measured is not None else 1.0

    def once(rows: int) -> float:
        own = {**parameters, **layer_parameters(graph, node, rows)}
        known = costs.measured(kernel, own)
        return kernel.instructions(own) * off if known is None else known

    full, rest = divmod(height(graph, node.output), band)
    return full * once(band) + (once(rest) if rest else 0.0) + CALLING * times


def _price(candidate: Candidate) -> str:
    weights = f" and {candidate.weight_bytes:,} bytes of weights" if candidate.weight_bytes else ""
    return f"costs {candidate.instructions:.0f} instructions{weights}"


def _label(kernel: Kernel, variant: dict[str, int]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in variant.items())
    return f"{kernel.name} ({settings})" if settings else kernel.name
