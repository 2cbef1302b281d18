"""prune: a trained network made smaller by one of compress/pruners, and trained again.

Inputs: network, dataset, weights, optional data. Outputs: weights (safetensors), log (what was removed, loss, metric).
"""

import importlib

from nnrules.catalog.stages import PruneOptions
from nnrules.stages.runner import Request, main
from nnrules.training.loop import fit, prepare
from nnrules.training.report import finish
from nnrules.training.task import example_inputs, make_dataset, make_network
from nnrules.training.weights import load_weights


def run(request: Request[PruneOptions]) -> None:
    """Prune and retrain; resumes like training does."""
    options = request.options
    prepare(options.seed, options.threads)
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    network = make_network(request.reference("network"))
    load_weights(network, request.input("weights"))
    removed = importlib.import_module(f"nnrules.compress.pruners.{options.method}").prune(
        network, example_inputs(dataset), options
    )
    losses = fit(network, dataset, options, options.retrain_epochs, request.checkpoints, f"prune {request.model}")
    test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    finish(network, test, {"pruned": removed, "loss": losses}, request.output("weights"), request.output("log"))


if __name__ == "__main__":
    main(run, PruneOptions)
