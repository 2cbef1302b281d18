"""prune: a trained network made smaller by one of compress/pruners, and trained again.

Inputs: network, dataset, weights; optional data, teacher (weights) and teacher_network. Outputs: weights
(safetensors), log (what was removed, loss, metric).
"""

import importlib
from typing import TYPE_CHECKING, Any

from nnrules.catalog.stages import PruneOptions
from nnrules.compress.masks import Pruning
from nnrules.stages.runner import Request, Work, main
from nnrules.stages.teachers import find_teacher
from nnrules.training.launchers import launch
from nnrules.training.loop import fit
from nnrules.training.ranks import is_writer
from nnrules.training.repeatable import prepare
from nnrules.training.report import finish
from nnrules.training.task import example_inputs, make_dataset, make_network
from nnrules.training.weights import load_weights, take_state

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def run(request: Request[PruneOptions]) -> None:
    """Prune and retrain; resumes like training does."""
    launch(prune, Work(request, request.checkpoints), request.options, f"prune {request.model}")


def prune(fabric: "Fabric", work: Work[PruneOptions]) -> None:
    """In each process; the first one writes the outputs."""
    request, options = work.request, work.request.options
    prepare(options.seed, options.threads)
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    network = make_network(request.reference("network"))
    load_weights(network, request.input("weights"))
    teacher = find_teacher(request, network)
    method: Any = importlib.import_module(f"nnrules.compress.pruners.{options.method}")
    pruning = Pruning(network, method, example_inputs(dataset), options, request.model)
    losses = fit(
        network, dataset, options, options.retrain_epochs, work.checkpoints, f"prune {request.model}", fabric,
        pruning.penalty if pruning.learned else None, pruning.before_epoch, request.after_epoch, teacher,
        pruning.settled,
    )  # fmt: skip
    state, removed = pruning.finish()
    if is_writer(fabric, options):
        take_state(network, state)
        test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
        finish(
            network,
            test,
            {"pruned": removed, "loss": losses},
            request.output("weights"),
            request.output("log"),
            f"prune {request.model}",
        )


if __name__ == "__main__":
    main(run, PruneOptions)
