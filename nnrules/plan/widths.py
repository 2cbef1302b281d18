"""Which tensors the arena holds several values to a byte."""

import math
from collections.abc import Iterable

from nnrules.catalog.kernel import Kernel
from nnrules.graph.ir import Graph
from nnrules.graph.packed import packed, packings, views
from nnrules.plan.costs import Costs
from nnrules.plan.record import Plan
from nnrules.plan.schedule import aligned
from nnrules.plan.select import sort_out


def packable(graph: Graph, kernels: Iterable[Kernel], isa: tuple[str, ...]) -> tuple[str, ...]:
    """The tensors that may be stored so, and whose layers have kernels for it, on whole tensors and on rows."""
    own, able = [kernel for kernel in kernels if kernel.packed], packings(graph)
    found: list[str] = []
    for group in views(graph).values():
        if group[0] not in able:
            continue
        trial = packed(graph, group)
        nodes = [node for node in trial.nodes if not node.operator.is_alias]
        touched = [node for node in nodes if not {*group}.isdisjoint((*node.inputs, node.output))]
        if all(sort_out(trial, node, own, isa, Costs(), band, {})[0] for node in touched for band in (0, 1)):
            found += group
    return tuple(found)


def needed(plan: Plan, graph: Graph, most: int) -> tuple[str, ...]:
    """Of the tensors that a plan packs, those that could not be bytes if ``most`` bytes were to be in use: of the
    others, the largest are taken first."""
    loads, kept, chosen = _loads(plan), list[str](), packings(graph).keys() & (plan.widths or {}).keys()
    groups = [group for group in views(graph).values() if group[0] in chosen]
    for group in sorted(groups, key=lambda group: -graph.tensors[group[0]].bytes):
        times = graph.tensors[group[0]].bytes / packed(graph, group).tensors[group[0]].bytes
        more = dict[int, int]()
        for slot in plan.tensors:
            if slot.name.removesuffix(f" ({slot.kind})") in group:
                for span in slot.spans:
                    grown = aligned(math.ceil((span.high - span.low) * (times - 1)))
                    more.update((step, grown) for step in range(span.first, span.last + 1))
        if all(loads[step] + grown <= most for step, grown in more.items()):
            loads = [load + more.get(step, 0) for step, load in enumerate(loads)]
        else:
            kept += group
    return tuple(kept)


def _loads(plan: Plan) -> list[int]:
    """The bytes in use in each step; tensors that follow each other in place count once."""
    found: list[dict[int, int]] = [{} for _ in plan.steps]
    for slot in plan.tensors:
        for span in slot.spans:
            for step in range(span.first, span.last + 1):
                found[step][slot.offset] = max(found[step].get(slot.offset, 0), aligned(span.high - span.low))
    return [sum(each.values()) for each in found]
