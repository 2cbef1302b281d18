"""seed: weights and inputs drawn by lot, for a network that nobody has trained.

Inputs: network. Outputs: weights (safetensors, with a note that says so), inputs (npz that
nnrules/datasets/recorded.py reads).
"""

import numpy as np

from nnrules.catalog.stages import SeedOptions
from nnrules.stages.runner import Request, main
from nnrules.training.seeded import NOTE, draw_inputs, draw_weights
from nnrules.training.task import make_network
from nnrules.training.weights import save_weights


def run(request: Request[SeedOptions]) -> None:
    """Draw both from the seed."""
    network = make_network(request.reference("network"))
    draw_weights(network, request.options.seed)
    save_weights(network, request.output("weights"), NOTE)
    with request.output("inputs").open("wb") as file:
        np.savez(file, x0=draw_inputs(network, request.options.seed))


if __name__ == "__main__":
    main(run, SeedOptions)
