"""Channel pruning by magnitude (Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from nnrules.catalog.stages import PruneOptions

if TYPE_CHECKING:
    from torch import Tensor, nn


def prune(network: nn.Module, example: tuple[Tensor, ...], options: PruneOptions) -> dict[str, Any]:
    """Remove from every layer the share `sparsity` of channels with the smallest norm of weights.

    Channels that are added or scaled together go together. The convolutions become physically smaller; the network's
    outputs keep their channels. `example`: its inputs with batch. Returns {"layers": {name: [channels before, after]},
    "parameters": [before, after]}.
    """
    import torch_pruning

    before, size = _channels(network), _parameters(network)
    network.eval()
    outputs = _output_layers(network, example)
    pruner = torch_pruning.pruner.BasePruner(
        network,
        example,
        importance=torch_pruning.importance.MagnitudeImportance(p=options.norm, normalizer=None),
        pruning_ratio_dict={
            module: _ratio(count, options)
            for module, count in ((network.get_submodule(name), count) for name, count in before.items())
            if module not in outputs
        },
        ignored_layers=outputs,
    )
    pruner.step()
    after = _channels(network)
    return {
        "layers": {name: [count, after[name]] for name, count in before.items()},
        "parameters": [size, _parameters(network)],
    }


def _ratio(channels: int, options: PruneOptions) -> float:
    """The share for torch_pruning, which keeps int(channels * (1 - share)): half a channel is safe from rounding."""
    kept = math.ceil(round(channels * (1 - options.sparsity), 6) / options.round_to) * options.round_to
    return max(0.0, 1 - (kept + 0.5) / channels)


def _output_layers(network: nn.Module, example: tuple[Tensor, ...]) -> list[nn.Module]:
    """The layers whose channels are the network's outputs: nothing with weights comes after them."""
    import torch_pruning

    graph = torch_pruning.DependencyGraph().build_dependency(network, example)
    return [
        module
        for module in network.modules()
        if module in graph.module2node and _is_layer(module) and not _feeds_layer(graph.module2node[module])
    ]


def _feeds_layer(node: Any) -> bool:
    """Whether another layer with weights follows `node` in the dependency graph."""
    waiting, seen = list(node.outputs), set()
    while waiting:
        follower = waiting.pop()
        if follower in seen:
            continue
        seen.add(follower)
        if _is_layer(follower.module):
            return True
        waiting.extend(follower.outputs)
    return False


def _is_layer(module: Any) -> bool:
    from torch import nn

    return isinstance(module, nn.Conv2d | nn.Linear)


def _channels(network: nn.Module) -> dict[str, int]:
    """Output channels of each layer by name."""
    return {name: int(module.weight.shape[0]) for name, module in network.named_modules() if _is_layer(module)}


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
