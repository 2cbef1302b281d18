"""The cheapest kernel that fits each layer, and why the others were refused."""

from collections.abc import Iterable

from nnrules.catalog.kernel import Kernel
from nnrules.error import UserError
from nnrules.graph.ir import Graph, Node
from nnrules.graph.operator import Parameter
from nnrules.plan.record import Refusal


def select_kernel(
    graph: Graph, node: Node, kernels: Iterable[Kernel], isa: tuple[str, ...]
) -> tuple[Kernel, tuple[Refusal, ...]]:
    """The kernel for ``node`` on a target with the features ``isa``; raises UserError where none fits."""
    parameters = layer_parameters(graph, node)
    candidates = [kernel for kernel in kernels if kernel.op == node.operator.op]
    refused = {kernel.name: kernel.refusal(parameters, isa) for kernel in candidates}
    fitting = [kernel for kernel in candidates if refused[kernel.name] is None]
    if not fitting:
        reasons = (
            ", ".join(f"{name} {reason}" for name, reason in refused.items())
            or f"there is no kernel for {node.operator.op}"
        )
        raise UserError(
            f"{graph.name}: layer '{node.name}'", reasons, "add a kernel under kernels/ or change the layer"
        )
    cheapest = min(fitting, key=lambda kernel: (kernel.instructions(parameters), kernel.name))
    costlier = {k.name: f"costs {k.instructions(parameters):.0f} instructions" for k in fitting if k is not cheapest}
    reasons_by_kernel = {name: reason or costlier.get(name) for name, reason in refused.items()}
    return cheapest, tuple(Refusal(name, reason) for name, reason in reasons_by_kernel.items() if reason)


def layer_parameters(graph: Graph, node: Node) -> dict[str, Parameter]:
    """What kernels are selected on and rendered with."""
    return node.operator.parameters(*graph.shapes(node))
