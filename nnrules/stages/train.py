"""train: a network from its first weights to its trained ones.

Inputs: network, dataset, optional data. Outputs: weights (safetensors), log (loss of each epoch, metric).
"""

from nnrules.catalog.stages import TrainOptions
from nnrules.stages.runner import Request, main
from nnrules.training.loop import fit, prepare
from nnrules.training.report import finish
from nnrules.training.task import make_dataset, make_network


def run(request: Request[TrainOptions]) -> None:
    """Train; a run that was killed goes on after the last whole epoch and ends in the same weights."""
    options = request.options
    prepare(options.seed, options.threads)
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    network = make_network(request.reference("network"))
    losses = fit(network, dataset, options, options.epochs, request.checkpoints, f"train {request.model}")
    test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    finish(network, test, {"loss": losses}, request.output("weights"), request.output("log"))


if __name__ == "__main__":
    main(run, TrainOptions)
