"""What a plan says of its RAM: which bytes are in use when, who owns the peak, what a little more or less would do."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nnrules.plan.record import Plan, Point, Slot, Span
from nnrules.plan.schedule import ALIGNMENT, aligned

KILOBYTE = 1024


@dataclass(frozen=True)
class Block:
    """Memory of the arena for a tensor (of "scratch" and "sums": a layer). `kind`, `spans`: see
    nnrules.plan.record.Slot."""

    name: str
    kind: str
    offset: int
    bytes: int
    spans: tuple[Span, ...]

    @property
    def first(self) -> int:
        """The first step."""
        return self.spans[0].first

    @property
    def last(self) -> int:
        """The last step."""
        return max(span.last for span in self.spans)

    def at(self, step: int) -> Span | None:
        """What is in use of it in a step, None where nothing is."""
        return next((span for span in self.spans if span.first <= step <= span.last), None)


@dataclass(frozen=True)
class Trade:
    """What a plan of `bytes` more or (negative) less RAM would do: `instructions` more or less an inference, in all and
    as a share; None where there is no such plan."""

    bytes: int
    instructions: float | None
    share: float = 0.0


class Ram:
    """Everything is found in the plan's record."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.steps = max([len(plan.steps), *(slot.last + 1 for slot in plan.tensors)], default=0)

    @cached_property
    def blocks(self) -> list[Block]:
        """In the order in which they are used."""
        found = [
            Block(_bare(slot), slot.kind, slot.offset, slot.bytes, slot.spans or (_always(slot),))
            for slot in self.plan.tensors
        ]
        return sorted(found, key=lambda block: (block.first, block.offset))

    @cached_property
    def _extents(self) -> list[dict[int, Span]]:
        """For each step what is in use at which offset; of tensors that follow each other in place, both together."""
        steps: list[dict[int, Span]] = [{} for _ in range(self.steps)]
        for block in self.blocks:
            for span in block.spans:
                for step in range(span.first, span.last + 1):
                    other = steps[step].get(block.offset, span)
                    both = Span(step, step, min(span.low, other.low), max(span.high, other.high))
                    steps[step][block.offset] = both
        return steps

    @cached_property
    def loads(self) -> list[int]:
        """The bytes in use in each step, each buffer's rounded up to 8; all of the arena where one grows into eight
        bytes of which another has not yet left all."""
        loads = [sum(used(span) for span in spans.values()) for spans in self._extents]
        return [min(load, self.plan.arena_bytes) for load in loads]

    @cached_property
    def peak(self) -> int:
        """The first step in which most bytes are in use."""
        return self.loads.index(max(self.loads)) if self.loads else 0

    def rows(self, block: Block) -> tuple[int, int]:
        """Rows that there is room for in a ring or fresh band, and how many the tensor has; 0 of other memory."""
        lanes = [lane for flow in self.plan.flows for lane in flow.lanes if lane.tensor == block.name]
        found = [(lane.ring if block.kind == "ring" else lane.fresh, lane.height) for lane in lanes]
        return max(found, default=(0, 0)) if block.kind in ("ring", "fresh") else (0, 0)

    def layer(self, step: int) -> str:
        """The name of the layer that works in a step."""
        plan = self.plan
        index = plan.steps[step] if step < len(plan.steps) else step
        return plan.layers[index].name if index < len(plan.layers) else ""

    @cached_property
    def owners(self) -> list[tuple[Block, int]]:
        """What is in use at the peak with its bytes, the most first; where a layer works in place, what it makes."""
        there = {block.offset: block for block in self.blocks if block.at(self.peak)}
        found = [(there[offset], used(span)) for offset, span in self._extents[self.peak].items()] if there else []
        return sorted(found, key=lambda each: (-each[1], each[0].offset))

    @property
    def unused(self) -> int:
        """Bytes that the arena is larger than what is in use at most: buffers do not always fit without gaps."""
        return self.plan.arena_bytes - max(self.loads, default=0)

    @property
    def here(self) -> Point | None:
        """The point of the front that the plan is, None where none was looked at."""
        return self.plan.front[self.plan.taken] if self.plan.front else None

    def trade(self, more: int) -> Trade | None:
        """What so many bytes more (negative: less) would do, as estimated; None where the plan has no front."""
        here = self.here
        if here is None:
            return None
        there = [point for point in self.plan.front if point.bytes <= here.bytes + more]
        if not there:
            return Trade(more, None)
        difference = min(point.instructions for point in there) - here.instructions
        return Trade(more, difference, difference / here.instructions)

    def record(self) -> dict[str, Any]:
        """The `peak` record of measured.json: the planned `arena`; layer and step of the peak, what is in use there;
        bytes of the arena that nothing has a use for (`gaps`); the `least` that some plan would have in use (null: none
        was looked for); what 1 KB more and less would do to the instructions (null: no plan has so little)."""
        kinds: dict[str, int] = {}
        for block, size in self.owners:
            kinds[block.kind] = kinds.get(block.kind, 0) + size
        trades: Mapping[str, Trade | None] = {
            name: self.trade(more) for name, more in (("more", KILOBYTE), ("less", -KILOBYTE))
        }
        return {
            "arena": self.plan.arena_bytes,
            "layer": self.layer(self.peak),
            "step": self.peak,
            "steps": self.steps,
            "bytes": max(self.loads, default=0),
            "gaps": self.unused,
            "kinds": kinds,
            "least": min((point.bytes for point in self.plan.front), default=None),
            "buffers": [{"name": block.name, "kind": block.kind, "bytes": size} for block, size in self.owners],
            **{f"kilobyte_{name}": each and _instructions(each) for name, each in trades.items()},
        }


def used(span: Span) -> int:
    """Bytes, as buffers are rounded."""
    return aligned(span.high) - span.low // ALIGNMENT * ALIGNMENT


def _bare(slot: Slot) -> str:
    """The tensor's or layer's name without its kind."""
    return "counters" if slot.kind == "state" else slot.name.removesuffix(f" ({slot.kind})")


def _always(slot: Slot) -> Span:
    """All of it, all the time."""
    return Span(slot.first, slot.last, 0, slot.bytes)


def _instructions(trade: Trade) -> int | None:
    return None if trade.instructions is None else round(trade.instructions)
