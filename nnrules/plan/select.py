"""The kernels of all layers: the fewest instructions whose weights fit, and why the others were not taken.

A kernel with parameters of its own (tile sizes, weights as int8 or int16) is a candidate in each of its variants.
Which of them to take is a multiple-choice knapsack over the layers, solved exactly up to GRAIN bytes a layer.
"""

from collections.abc import Iterable, Sequence

import msgspec

from nnrules.catalog.kernel import Kernel
from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node
from nnrules.graph.operator import Parameter
from nnrules.plan.costs import Costs
from nnrules.plan.record import Refusal

GRAIN = 64


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A kernel in one of its variants on one layer, with the layer's parameters and the variant's together."""

    kernel: Kernel
    variant: dict[str, int]
    parameters: dict[str, Parameter]
    instructions: float
    weight_bytes: int

    @property
    def name(self) -> str:
        """The kernel and its variant, for people."""
        return _label(self.kernel, self.variant)

    @property
    def scratch_bytes(self) -> int:
        """Working memory of the kernel."""
        return self.kernel.scratch_bytes(self.parameters)

    @property
    def in_place(self) -> bool:
        """Whether the output may start at the first input's address."""
        return self.kernel.runs_in_place(self.parameters)


Selection = tuple[Candidate | None, tuple[Refusal, ...]]


def select_kernels(
    graph: Graph,
    kernels: Iterable[Kernel],
    isa: tuple[str, ...],
    extra_weights: float = 1.0,
    costs: Costs | None = None,
) -> list[Selection]:
    """For each node, the candidate taken (None for a reshape) and why each other one was not.

    ``costs``: what was measured on the target; the kernels' own estimates stand in for what was not.
    The packed weights of all layers together may be larger than as int8 by ``extra_weights`` times that size, or are as
    small as they get. Raises UserError where a layer has no kernel.
    """
    kernels = list(kernels)
    known = costs or Costs()
    found = [([], {}) if n.operator.is_alias else candidates(graph, n, kernels, isa, known) for n in graph.nodes]
    room = int(sum(node.operator.weight_bytes() for node in graph.nodes) * (1 + extra_weights))
    choices = iter(_cheapest([fitting for fitting, _ in found if fitting], room))
    result: list[Selection] = []
    for fitting, refused in found:
        taken = next(choices) if fitting else None
        others = {c.name: _price(c) for c in fitting if c is not taken}
        result.append((taken, tuple(Refusal(name, reason) for name, reason in {**refused, **others}.items())))
    return result


def layer_parameters(graph: Graph, node: Node) -> dict[str, Parameter]:
    """What kernels are selected on and rendered with."""
    return node.operator.parameters(*graph.shapes(node))


def candidates(
    graph: Graph, node: Node, kernels: Sequence[Kernel], isa: tuple[str, ...], costs: Costs
) -> tuple[list[Candidate], dict[str, str]]:
    """What can run a layer, and the reasons of what cannot. Raises UserError where nothing can."""
    own = layer_parameters(graph, node)
    fitting, refused = [], {}
    for kernel, variant in ((k, v) for k in kernels if k.op == node.operator.op for v in k.variants()):
        parameters = {**own, **variant}
        reason = kernel.refusal(parameters, isa)
        if reason is None:
            fitting.append(
                Candidate(
                    kernel=kernel,
                    variant=variant,
                    parameters=parameters,
                    instructions=costs.instructions(kernel, parameters),
                    weight_bytes=kernel.weight_bytes(parameters),
                )
            )
        else:
            refused[_label(kernel, variant)] = reason
    if not fitting:
        reasons = (
            ", ".join(f"{name} {reason}" for name, reason in refused.items())
            or f"there is no kernel for {node.operator.op}"
        )
        raise UserError(
            f"{graph.name}: layer '{node.name}'", reasons, "add a kernel under kernels/ or change the layer"
        )
    return fitting, refused


def _cheapest(layers: Sequence[Sequence[Candidate]], room: int) -> list[Candidate]:
    """One candidate for each layer: the fewest instructions within ``room`` bytes, else the fewest bytes."""
    states: list[tuple[int, float, tuple[int, ...]]] = [(0, 0.0, ())]  # grains, instructions, choices
    least = [min(-(-c.weight_bytes // GRAIN) for c in layer) for layer in layers]
    for index, layer in enumerate(layers):
        allowed = max(room // GRAIN, sum(least)) - sum(least[index + 1 :])
        grown = [
            (grains + -(-candidate.weight_bytes // GRAIN), cost + candidate.instructions, (*taken, choice))
            for grains, cost, taken in states
            for choice, candidate in enumerate(layer)
        ]
        states = []
        for state in sorted(grown):
            if state[0] <= allowed and (not states or state[1] < states[-1][1]):
                states.append(state)
    return [layer[choice] for layer, choice in zip(layers, states[-1][2], strict=True)]


def _price(candidate: Candidate) -> str:
    weights = f" and {candidate.weight_bytes:,} bytes of weights" if candidate.weight_bytes else ""
    return f"costs {candidate.instructions:.0f} instructions{weights}"


def _label(kernel: Kernel, variant: dict[str, int]) -> str:
    settings = ", ".join(f"{name}={value}" for name, value in variant.items())
    return f"{kernel.name} ({settings})" if settings else kernel.name
