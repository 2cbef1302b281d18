"""Networks in the manner of well known ones, as torch exports them in two ways: integers near the float model's."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.graph.networks import NETWORKS
from tests.importers.pipeline import Imported, through

KERNELS = {
    "Mobile": {"conv2d", "lookup", "average_pool2d", "mul", "fully_connected"},
    "Segments": {"conv2d", "lookup", "max_pool2d", "conv_transpose2d", "concat", "arg_max"},
    "Shuffle": {"conv2d", "rearrange", "concat"},
    "Sharper": {"rearrange", "conv2d", "lookup", "resize_linear", "add"},
    "Sounds": {"conv2d", "lookup", "mul", "average_pool2d", "reduce", "fully_connected"},
    "Attention": {"conv2d", "rearrange", "mat_mul", "lookup", "softmax", "add", "reduce", "fully_connected"},
    "Mixer": {"conv2d", "rearrange", "fully_connected", "lookup", "add"},
}


def imported(kind: type[nn.Module], dynamo: bool, folder: Path) -> Imported:
    """A network with random weights and statistics, through export, import and quantization."""
    torch.manual_seed(0)
    network = kind().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    example, options = torch.randn(1, *kind.shape), {"verbose": False} if dynamo else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (example,), str(folder / "net.onnx"), dynamo=dynamo, input_names=["x"], **options)
    samples = np.random.default_rng(0).normal(size=(16, *kind.shape)).astype(np.float32)
    np.savez(folder / "samples.npz", x=samples)
    return through(folder / "net.onnx", folder, folder / "samples.npz")


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_the_integers_are_near(kind: type[nn.Module], dynamo: bool, tmp_path: Path) -> None:
    found = imported(kind, dynamo, tmp_path)
    graph = found.graph
    assert {node.operator.op for node in graph.nodes} - {"reshape"} == KERNELS[kind.__name__]
    ((exact, integer),) = found.outputs()
    tensor = graph.tensors[graph.outputs[0]]
    if tensor.dtype == "int32":
        assert float((exact == integer).mean()) > 0.98
    else:
        assert float(np.abs(exact - integer).mean() / tensor.scale) < 1
