"""sample: held-out inputs as the integers the firmware is given.

Inputs: graph, dataset, optional data. Outputs: samples (npz with x, int8 (N, H, W, C)).
"""

import numpy as np

from nnrules.catalog.stages import SampleOptions
from nnrules.graph.ir import load
from nnrules.stages.runner import Request, main
from nnrules.training.metric import batches
from nnrules.training.task import make_dataset


def run(request: Request[SampleOptions]) -> None:
    """Quantize the first items of the test split with the graph's own input scale and zero point."""
    graph = load(request.input("graph"))
    dataset = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    tensor = graph.tensors[graph.inputs[0]]
    parts = [tensor.to_nhwc(tensor.quantize(batch)) for batch in batches(dataset, request.options.count)]
    with request.output("samples").open("wb") as file:
        np.savez(file, x=np.concatenate(parts))


if __name__ == "__main__":
    main(run, SampleOptions)
