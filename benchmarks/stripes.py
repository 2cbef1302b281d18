"""What convolutions save that skip stripes of weights which are zero.

    python -m benchmarks.stripes [--target cortex-m7]

Takes 3x3 layers with random weights, of which some stripes (all input channels at one position of a filter) are zero,
and runs the core's own kernels on them under QEMU, each output compared with the reference. Instructions are not
cycles. Writes docs/stripes.md.
"""

import argparse
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from benchmarks.kernels import chain
from nnrules.catalog.kernel import load_kernels
from nnrules.catalog.markdown import markdown
from nnrules.catalog.paths import TOOLCHAINS
from nnrules.catalog.toolchain import load_toolchain
from nnrules.codegen.trial import Trial, batches
from nnrules.graph.ir import Graph
from nnrules.plan.costs import Costs
from nnrules.plan.select import candidates
from nnrules.stages.tune import measured

TOP = Path(__file__).resolve().parents[1]
REMOVED = (0.5, 0.75, 0.9)  # shares of the stripes
GOAL = 0.7  # of the share of products left out: what instructions are to fall by at least
FAMILIES = {
    "direct": ("conv2d_dense_s8__armv7em", "conv2d_mixed_s8__armv7em", "conv2d_pieces_s8__armv7em"),
    "Winograd": ("conv2d_winograd_s8__armv7em", "conv2d_winograd_row_s8__armv7em"),
    "stripes": ("conv2d_stripes_s8__armv7em",),
}
RIVALS = ("direct", "Winograd")
COLUMNS = ("layer", "removed", *FAMILIES, "saved against direct", "against Winograd")
PAGE = """# Stripes that are skipped

Instructions of 3x3 convolutions under QEMU's {target}, and the bytes of the kernels' weights. *Removed*: the share of
stripes (all input channels at one position of a filter) that are zero, drawn by lot. *Direct* and *Winograd*: the
fastest kernels of these kinds, which compute with the zeros too; *stripes*: the fastest that skips them. *Saved*: what
stripes take less than each of these, in bold where that is at least {goal:.0%} of the share that is removed. Made by
`python -m benchmarks.stripes`.

{table}

Compared with direct kernels, instructions fall nearly as products do. Winograd's need fewer products to begin with,
for 1.8 times the bytes of weights, but cannot leave any out: {winograd} instructions for each of the layer.
Skipping takes 0.66 for each that is left, and little else: an `SMLAD` for two of them, one load of inputs for eight,
one of weights for 32. Where three of four stripes are removed, that alone is 0.16 for each of the layer: less by
{least} than Winograd's, and what outputs and borders take comes on top.
"""
LOOP = 0.65625  # instructions a product: four SMLAD, one load of inputs, a quarter of one of weights, for eight


class Layer(NamedTuple):
    """A 3x3 convolution, padded. `size`: rows and columns of its input; `stride`: from output to output."""

    size: int
    in_c: int
    out_c: int
    stride: int = 1

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.in_c}->{self.out_c}{'' if self.stride == 1 else f'/{self.stride}'}, {self.size}x{self.size}"

    @property
    def macs(self) -> int:
        """Of all weights, zero or not."""
        return (self.size // self.stride) ** 2 * 9 * self.in_c * self.out_c


class Best(NamedTuple):
    """The fastest kernel of a family."""

    kernel: str
    instructions: int
    weight_bytes: int


LAYERS = (Layer(28, 16, 16), Layer(16, 32, 32), Layer(8, 64, 64), Layer(16, 32, 64, 2))


def pruned(layer: Layer, removed: float) -> Graph:
    """The layer with random weights, a share of whose stripes is zero."""
    graph = chain("stripes", (layer.size, layer.size, layer.in_c), [("conv", 3, layer.stride, layer.out_c)])
    operator: Any = graph.nodes[0].operator
    stripes = operator.weights.reshape(-1, layer.in_c).copy()
    stripes[np.random.default_rng(7).permutation(len(stripes))[: round(len(stripes) * removed)]] = 0
    operator = replace(operator, weights=stripes.reshape(operator.weights.shape))
    return replace(graph, nodes=(replace(graph.nodes[0], operator=operator),))


def fastest(graph: Graph, target: str, families: Mapping[str, Sequence[str]] = FAMILIES) -> dict[str, Best]:
    """By family its fastest kernel on a graph's only layer, of those that can run it; by measurement."""
    toolchain, (node,) = load_toolchain(TOOLCHAINS / f"{target}.toml"), graph.nodes
    known = {kernel: family for family, kernels in families.items() for kernel in kernels}
    tries = [
        Trial(layer=each.name, operator=node.operator, shapes=tuple(graph.shapes(node)), candidate=each, key="")
        for each in candidates(graph, node, load_kernels(), toolchain.isa, Costs())[0]
        if each.kernel.name in known
    ]
    best: dict[str, Best] = {}
    for batch in batches(tries):
        for trial, cost in zip(batch, measured(batch, target, toolchain), strict=True):
            found = Best(trial.candidate.name, cost.instructions, trial.candidate.weight_bytes)
            family = known[trial.candidate.kernel.name]
            best[family] = min(found, best.get(family, found), key=lambda each: each.instructions)
    return best


def saved(best: Mapping[str, Best], rival: str) -> float:
    """The share of a family's instructions that stripes do not take."""
    return 1 - best["stripes"].instructions / best[rival].instructions


def row(layer: Layer, removed: float, best: Mapping[str, Best]) -> list[str]:
    """A line of the table."""
    counts = [
        f"{best[each].instructions:,}, {best[each].weight_bytes:,} B" if each in best else "" for each in FAMILIES
    ]
    shares = [saved(best, each) if each in best else None for each in RIVALS]
    return [layer.name, f"{removed:.0%}", *counts, *(_marked(each, GOAL * removed) for each in shares)]


def _marked(share: float | None, goal: float) -> str:
    text = "" if share is None else f"{round(share, 2) + 0.0:.0%}"
    return f"**{text}**" if share is not None and share >= goal else text


def page(target: str, layers: Sequence[Layer]) -> str:
    """All layers with all shares, measured, as Markdown."""
    rows, winograd = [], []
    for layer, removed in product(layers, REMOVED):
        best = fastest(pruned(layer, removed), target)
        rows.append(row(layer, removed, best))
        print(*rows[-1], sep="; ", flush=True)
        if "Winograd" in best:
            winograd.append(best["Winograd"].instructions / layer.macs)
    ends = min(winograd), max(winograd)
    span = " to ".join(f"{each:.2f}" for each in ends)
    least = " to ".join(f"{1 - LOOP / 4 / each:.0%}" for each in ends)
    return PAGE.format(target=target, goal=GOAL, table=markdown(COLUMNS, rows, (0,)), winograd=span, least=least)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="cortex-m7", choices=("cortex-m4", "cortex-m7", "cortex-m33"))
    parser.add_argument("--page", type=Path, default=TOP / "docs/stripes.md", help="what is written")
    given = parser.parse_args()
    given.page.write_text(page(given.target, LAYERS), encoding="utf-8")


if __name__ == "__main__":
    main()
