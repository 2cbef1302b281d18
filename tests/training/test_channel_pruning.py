"""Channel pruning makes convolutions smaller, keeps coupled channels together, and needs no pickle afterwards."""

import pytest
import torch
from torch import nn

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.masks import Pruning
from nnrules.compress.pruners import channel
from nnrules.compress.zeros import hold_zeros, release_zeros
from nnrules.training.weights import load_weights, save_weights, take_state

from .task_files import Residual

EXAMPLE = torch.rand(1, 1, 8, 8)


def prune(network, example, options):
    """At once, without training; the report."""
    state, report = Pruning(network, channel, (example,), options, "here").finish()
    take_state(network, state)
    return report


@pytest.mark.parametrize(
    ("sparsity", "round_to", "kept"), [(0.0, 4, 12), (0.34, 4, 8), (0.5, 4, 8), (0.5, 1, 6), (0.9, 1, 2)]
)
def test_channels_that_remain_are_rounded_up(sparsity, round_to, kept):
    network = Residual()
    report = prune(network, EXAMPLE, PruneOptions(retrain_epochs=0, sparsity=sparsity, round_to=round_to))
    assert report["layers"] == {name: [12, kept] for name in ("stem.0", "depthwise.0", "pointwise.0")} | {
        "head": [1, 1]
    }
    assert report["parameters"][1] == sum(parameter.numel() for parameter in network.parameters())
    assert network.stem[0].weight.shape == (kept, 1, 3, 3)
    assert network.depthwise[0].groups == kept
    assert network(EXAMPLE).shape == (1, 1)


def test_a_pruned_network_is_rebuilt_from_its_class_and_weights(tmp_path):
    network = Residual().eval()
    prune(network, EXAMPLE, PruneOptions(retrain_epochs=0, sparsity=0.5))
    save_weights(network, tmp_path / "pruned.safetensors")
    rebuilt = Residual().eval()
    load_weights(rebuilt, tmp_path / "pruned.safetensors")
    assert torch.equal(network(EXAMPLE), rebuilt(EXAMPLE))
    assert rebuilt.depthwise[0].groups == 8
    assert rebuilt.head.in_features == 8 * 16


def test_a_depthwise_layer_with_two_outputs_per_input_is_rebuilt(tmp_path):
    def network(channels):
        return nn.Sequential(nn.Conv2d(1, channels, 1), nn.Conv2d(channels, 2 * channels, 3, groups=channels)).eval()

    small, rebuilt = network(3), network(4)
    save_weights(small, tmp_path / "weights.safetensors")
    load_weights(rebuilt, tmp_path / "weights.safetensors")
    assert torch.equal(small(EXAMPLE), rebuilt(EXAMPLE))


@pytest.mark.parametrize("norm", [1, 2])
def test_the_weakest_channels_go(norm):
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([3.0, 0.1, 2.0, 0.2]).reshape(4, 1, 1, 1).expand(4, 1, 3, 3))
        network[2].weight.fill_(1.0)
    prune(network, EXAMPLE, PruneOptions(retrain_epochs=0, sparsity=0.5, round_to=1, norm=norm))
    assert network[0].weight[:, 0, 0, 0].tolist() == [3.0, 2.0]
    assert network[2].weight.shape == (2, 2, 1, 1)


def test_what_a_network_does_with_its_weights_stays():
    """Only masks go."""
    network = Residual()
    nn.utils.parametrizations.weight_norm(network.head)
    with torch.no_grad():
        network.stem[0].weight[0] = 0
    names = set(network.state_dict())
    hold_zeros(network)
    assert len(set(network.state_dict())) > len(names)
    release_zeros(network)
    assert set(network.state_dict()) == names
