"""load: a network's weights from a file of the user's.

Inputs: network, dataset, file (of torch or safetensors); optional data. Outputs: weights (safetensors), log (metric).
"""

from nnrules.catalog.stages import LoadOptions
from nnrules.stages.runner import Request, main
from nnrules.training.adopted import adopt
from nnrules.training.report import finish
from nnrules.training.task import example_inputs, make_dataset, make_network


def run(request: Request[LoadOptions]) -> None:
    """Check the weights against the network, and measure it."""
    test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    network = make_network(request.reference("network"))
    file = request.input("file")
    adopt(network, file, str(file), example_inputs(test))
    finish(network, test, {}, request.output("weights"), request.output("log"), f"load {request.model}")


if __name__ == "__main__":
    main(run, LoadOptions)
