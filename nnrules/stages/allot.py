"""allot: the bits of each layer's weights under a size, from what each costs in loss.

Inputs: model (float ONNX), network, dataset, optional data. Outputs: widths (JSON: Allotted by layer), picture (PNG).
"""

from typing import Any

import msgspec
import numpy as np
import onnx
import torch

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import session
from nnrules.compress.quantizers.mixed_precision import allot, draw
from nnrules.stages.runner import Request, main
from nnrules.training.task import Dataset, make_dataset, make_network, stacked

BATCH = 32


def run(request: Request[QuantizeOptions]) -> None:
    """Measure and choose."""
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    network = make_network(request.reference("network"))
    count = min(request.options.samples, len(dataset))

    def loss(model: onnx.ModelProto) -> float:
        return mean_loss(model, network, dataset, count)

    found = allot(onnx.load(request.input("model")), request.options, loss, request.model)
    request.output("widths").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    draw(found, request.output("picture"))


def mean_loss(model: onnx.ModelProto, network: Any, dataset: Dataset, count: int) -> float:
    """The network's loss of the model's outputs for the first items."""
    names = [each.name for each in model.graph.output]
    found, sources = session(model, names)
    total = 0.0
    for start in range(0, count, BATCH):
        part = range(start, min(start + BATCH, count))
        feed = dict(zip(sources, stacked(dataset, part), strict=True))
        outputs = [torch.from_numpy(np.asarray(each)) for each in found.run(names, feed)]
        targets = torch.utils.data.default_collate([dataset[index][1] for index in part])
        with torch.no_grad():
            value = network.loss(outputs[0] if len(outputs) == 1 else outputs, targets)
        total += float(value) * len(part)
    return total / count


if __name__ == "__main__":
    main(run, QuantizeOptions)
