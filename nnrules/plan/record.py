"""The plan of a graph on a target: frozen records, stored as JSON."""

from pathlib import Path

import msgspec

from nnrules.plan.schedule import Event

MARGIN = 512  # bytes by which the code of other kernels may differ from what is reckoned


class Refusal(msgspec.Struct, frozen=True):
    """A kernel that computes the layer's operator but was not taken, and why."""

    kernel: str
    reason: str


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One node of the graph, in its order; a reshape has no kernel and its output is its input's memory.

    ``variant`` holds the kernel's own parameters, ``template`` is relative to the kernels folder, ``instructions`` the
    kernel's own estimate of an inference, ``weight_bytes`` the size of the packed weights. ``band``: rows that it
    computes at a time where rows stream (fewer at the image's end), else 0; ``gather_bytes``: of the rows that
    it sees at once, copied together; 0 where it reads them where they are.
    """

    name: str
    op: str
    kernel: str = ""
    variant: dict[str, int] = {}
    template: str = ""
    scratch_offset: int = 0
    scratch_bytes: int = 0
    band: int = 0
    gather_offset: int = 0
    gather_bytes: int = 0
    instructions: float = 0.0
    weight_bytes: int = 0
    in_place: bool = False
    refused: tuple[Refusal, ...] = ()


class Span(msgspec.Struct, frozen=True, array_like=True):
    """In the steps ``first`` to ``last``, both included, bytes ``low`` to ``high - 1`` are in use."""

    first: int
    last: int
    low: int
    high: int


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the arena: tensor ``name`` (or a layer's scratch, or rows) in the steps ``first`` to ``last``, both
    included; see Plan.steps. ``kind``: a "whole" tensor, its "ring" or its "fresh" rows, a layer's "sums" or "scratch",
    or the "state" of the counters. ``spans``: when how much of it is in use for this tensor alone; those that follow
    each other in place have the same bytes and steps, and spans of their own.
    """

    name: str
    offset: int
    bytes: int
    first: int
    last: int
    kind: str = "whole"
    spans: tuple[Span, ...] = ()


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor of which only rows are in memory, or whose rows come one by one: ``ring`` rows from ``ring_offset`` on
    that are kept, ``fresh`` rows from ``fresh_offset`` on as they are made (0 rows: it is in memory as a whole, or
    pushed). ``fresh_offset`` may be that of another lane: a kernel works in place."""

    tensor: str
    height: int
    row_bytes: int
    ring: int = 0
    ring_offset: int = 0
    fresh: int = 0
    fresh_offset: int = 0


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes ``first`` to ``last``, through which rows pass in the order of ``events``; ``pushed``: the tensor whose
    rows the caller brings, "" where it is in memory; ``sums``: offsets of the sums of nodes that sum up a whole image;
    ``state_offset``: of the counters, which all flows share."""

    first: int
    last: int
    pushed: str
    events: tuple[Event, ...]
    lanes: tuple[Lane, ...]
    sums: dict[str, int]
    state_offset: int
    state_bytes: int


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """What the kernels were chosen within; all sizes in bytes.

    ``by``: what keeps faster ones out: "extra_weights" (``room`` and ``used`` are of packed weights then), "budget" or
    "target" (of kernels and their constants, the reserve taken off), "" where nothing does. With ``more`` bytes of room
    an inference would take ``saved`` instructions less. ``flash``: what kernels and constants are reckoned to take,
    ``least``: what the smallest selection would; None where no flash is known.
    """

    by: str = ""
    room: int = 0
    used: int = 0
    more: int = 0
    saved: float = 0.0
    flash: int | None = None
    least: int | None = None

    def reserve(self, program: int, flash: int) -> int | None:
        """With how much of the ``flash`` set aside the next plan would fit, after this one's whole program has turned
        out to take ``program`` bytes; None where not even the smallest kernels would."""
        if self.flash is None or self.least is None:
            return None
        rest = program - self.flash
        return None if rest + self.least > flash else -(-(rest + MARGIN) // 1024) * 1024


UNBOUNDED = Room()


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """With up to ``bytes`` in use at once, an inference takes ``instructions`` as estimated, and with less none as few,
    the price of streaming included (nnrules.plan.parts)."""

    bytes: int
    instructions: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Arena and kernels; ``live_bytes`` is the most that is alive at once, below which no arena can be.

    ``flows``: the parts through which rows stream, in their order; the other nodes see whole tensors. ``steps``: the
    node of each step: a step is a node that sees whole tensors, or a band of rows of one that does not. ``peak``: the
    layer in whose step most is alive. ``front``: the trade of RAM for instructions, the fewest instructions first,
    where it was looked at, of which this plan is number ``taken``; ``stops``: layers that need all rows of an image, or
    that an image has to wait for, so that no rows stream through them; ``held``: the inputs, where there are several,
    so that no rows are pushed; ``missed``: bytes that the arena should have kept to, where nothing does; ``widths``:
    the bits of a value, of the tensors that are not bytes (nnrules.graph.packed).
    """

    model: str
    target: str
    arena_bytes: int
    live_bytes: int
    tensors: tuple[Slot, ...]
    layers: tuple[Layer, ...]
    flows: tuple[Flow, ...] = ()
    steps: tuple[int, ...] = ()
    peak: str = ""
    front: tuple[Point, ...] = ()
    taken: int = 0
    stops: tuple[str, ...] = ()
    held: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    missed: int | msgspec.UnsetType = msgspec.UNSET
    widths: dict[str, int] | msgspec.UnsetType = msgspec.UNSET
    room: Room = UNBOUNDED

    @property
    def flow(self) -> Flow | None:
        """The part that takes the input's rows as they come; None where the input is in memory."""
        return next((flow for flow in self.flows if flow.pushed), None)

    @property
    def hindrances(self) -> tuple[str, ...]:
        """What keeps rows from streaming, as text."""
        inputs, layers = ([f"'{name}'" for name in names] for names in (self.held or (), self.stops))
        held = f"where there are several inputs they are held as a whole: {', '.join(inputs)}"
        stops = f"no rows stream through {', '.join(layers)}"
        return tuple(text for names, text in ((inputs, held), (layers, stops)) if names)

    def offset(self, tensor: str) -> int:
        """Where a tensor starts in the arena."""
        return next(slot.offset for slot in self.tensors if slot.name == tensor)


def dump_plan(plan: Plan) -> bytes:
    """The plan as indented JSON, equal plans in equal bytes."""
    return msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"


def load_plan(path: Path) -> Plan:
    """Read ``dump_plan``'s JSON; raises msgspec.ValidationError where it is not a plan."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)
