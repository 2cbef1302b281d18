"""What the report says of the arena: sentences, tables and pictures."""

from collections.abc import Iterator
from dataclasses import dataclass

from nnrules.plan.record import Plan
from nnrules.verify import arena, front
from nnrules.verify.ram import KILOBYTE, Block, Ram, Trade


@dataclass(frozen=True)
class Owner:
    """Memory in use at the peak, as text; `colour`: its own in the picture."""

    name: str
    kind: str
    bytes: str
    colour: str


@dataclass(frozen=True)
class Lifetime(Owner):
    """All memory, as text. `rows`: of a tensor that streams; `steps`: in how many it is in use."""

    rows: str
    offset: str
    first: int
    last: int
    steps: str


@dataclass(frozen=True)
class Section:
    """`peak`: a sentence; `picture`, `front`: SVG, the latter empty where there is nothing to choose from."""

    peak: str
    picture: str
    sentences: list[str]
    owners: list[Owner]
    front: str
    lifetimes: list[Lifetime]


def about(plan: Plan) -> Section:
    """Of a plan's record alone."""
    ram = Ram(plan)
    colours = arena.Colours(ram)
    return Section(
        peak=peak(ram),
        picture=arena.draw(plan),
        sentences=list(sentences(ram)),
        owners=[Owner(block.name, kind(plan, block), f"{size:,}", colours.of(block)) for block, size in ram.owners],
        front=front.draw(ram) if len(plan.front) > 1 else "",
        lifetimes=list(lifetimes(ram, colours)),
    )


def peak(ram: Ram) -> str:
    """When most is in use, and by how much the arena is larger."""
    plan = ram.plan
    if not ram.steps:
        return "Nothing is in memory."
    text = f"An inference takes {ram.steps:,} steps; most is in use in step {ram.peak:,}, while layer "
    text += f"'{ram.layer(ram.peak)}' works: {ram.loads[ram.peak]:,} bytes of the arena's {plan.arena_bytes:,}."
    return text if not ram.unused else f"{text} {ram.unused:,} are gaps between buffers that do not fit closer."


def sentences(ram: Ram) -> Iterator[str]:
    """What a little more or less RAM would do, and what lets no rows stream."""
    more, less = ram.trade(KILOBYTE), ram.trade(-KILOBYTE)
    if more is not None and less is not None:
        bought = f"save {_amount(more)}" if more.instructions else "save nothing"
        cost = _least(ram.plan) if less.instructions is None else f"1 KB less in use would cost {_amount(less)}"
        yield f"By the planner's estimate 1 KB more in use would {bought}; {cost}."
    for hindrance in ram.plan.hindrances:
        yield f"{hindrance[0].upper()}{hindrance[1:]}."


def _least(plan: Plan) -> str:
    """Where no plan of 1 KB less was found: how far down there is one, and how to have it."""
    least = min(point.bytes for point in plan.front)
    there = f"; {plan.model}.plan.ram=least gives the smallest arena" if least < plan.front[plan.taken].bytes else ""
    return f"no plan with 1 KB less was found, the least in use is {least:,}{there}"


def lifetimes(ram: Ram, colours: arena.Colours) -> Iterator[Lifetime]:
    """In the order in which they are used."""
    for block in ram.blocks:
        rows, height = ram.rows(block)
        yield Lifetime(
            name=block.name,
            kind=kind(ram.plan, block),
            bytes=f"{block.bytes:,}",
            colour=colours.of(block),
            rows=f"{rows} of {height}" if rows else "",
            offset=f"{block.offset:,}",
            first=block.first,
            last=block.last,
            steps=f"{sum(span.last - span.first + 1 for span in block.spans):,}",
        )


def kind(plan: Plan, block: Block) -> str:
    """What it is for, and how wide a tensor's values are that are not bytes."""
    bits = (plan.widths or {}).get(block.name) if block.kind in ("whole", "ring", "fresh") else None
    return arena.KINDS[block.kind][0] + (f", {bits} bits a value" if bits else "")


def _amount(trade: Trade) -> str:
    """Instructions, whichever way."""
    percent = 100 * abs(trade.share)
    share = f"{percent:,.0f}" if percent > 10 else f"{percent:.2g}"
    return f"{abs(trade.instructions or 0):,.0f} instructions ({share} %)"
