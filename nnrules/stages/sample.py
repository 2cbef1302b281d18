"""sample: held-out inputs as the integers the firmware is given.

Inputs: graph, dataset, optional data. Outputs: samples (npz with an int8 (N, ...) array, NHWC, for each input by its
name).
"""

import numpy as np

from nnrules.catalog.stages import SampleOptions
from nnrules.graph.formats import lit_through, quantized_inputs
from nnrules.graph.ir import load
from nnrules.stages.runner import Request, main
from nnrules.training.metric import batches
from nnrules.training.task import make_dataset
from nnrules.verify.samples import COMPLETE


def run(request: Request[SampleOptions]) -> None:
    """Quantize the first items of the test split with the graph's own input scales and zero points.

    Where the graph has several formats, they are made brighter and darker, so that each format has some."""
    graph = load(request.input("graph"))
    dataset = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    real = [np.concatenate(parts) for parts in zip(*batches(dataset, request.options.count), strict=True)]
    if graph.selector:
        real = [lit_through(graph, array) for array in real]
    arrays = quantized_inputs(graph, real)
    if len(dataset) <= request.options.count:
        arrays[COMPLETE] = np.array(True)
    with request.output("samples").open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(run, SampleOptions)
