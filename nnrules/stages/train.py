"""train: a network from its first weights to its trained ones; zeros in weights to begin with stay.

Inputs: network, dataset; optional data, weights to begin with, teacher (weights) and teacher_network. Outputs: weights
(safetensors), log (loss of each epoch, metric).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nnrules.catalog.stages import TrainOptions
from nnrules.compress.zeros import hold_zeros, release_zeros
from nnrules.error import UserError
from nnrules.stages.runner import Request, Work, blame, main
from nnrules.stages.teachers import find_teacher
from nnrules.training.checkpoint import told_where
from nnrules.training.launchers import launch
from nnrules.training.loop import fit
from nnrules.training.ranks import GOES_ON, is_writer
from nnrules.training.repeatable import prepare
from nnrules.training.report import finish
from nnrules.training.task import make_dataset, make_network
from nnrules.training.weights import load_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def run(request: Request[TrainOptions]) -> None:
    """Train; a run that was killed goes on after the last whole epoch and ends in the same weights."""
    with _telling(request):
        launch(train, Work(request, request.checkpoints), request.options, f"train {request.model}")


@contextmanager
def _telling(request: Request[TrainOptions]) -> Iterator[None]:
    """Adds to the user's error where the weights so far are: who mends it begins another training."""
    try:
        yield
    except Exception as fault:
        error = fault if isinstance(fault, UserError) else blame(fault, request.inputs)
        where = told_where(request.checkpoints)
        if error is None or not where or GOES_ON in error.cure:
            raise
        raise UserError(error.place, error.fault, f"{error.cure}; {where}") from fault


def train(fabric: "Fabric", work: Work[TrainOptions]) -> None:
    """In each process; the first one writes the outputs."""
    request, options = work.request, work.request.options
    prepare(options.seed, options.threads)
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    network = make_network(request.reference("network"))
    if given := request.optional("weights"):
        load_weights(network, given)
    teacher = find_teacher(request, network if given else None)
    if given:
        hold_zeros(network)
    losses = fit(
        network, dataset, options, options.epochs, work.checkpoints, f"train {request.model}", fabric,
        after_epoch=request.after_epoch, teacher=teacher,
    )  # fmt: skip
    release_zeros(network)
    if is_writer(fabric, options):
        test = make_dataset(request.reference("dataset"), "test", request.optional("data"))
        finish(
            network, test, {"loss": losses}, request.output("weights"), request.output("log"), f"train {request.model}"
        )


if __name__ == "__main__":
    main(run, TrainOptions)
