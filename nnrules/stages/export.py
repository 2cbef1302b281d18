"""export: a trained network as a float ONNX model.

Inputs: network, dataset, weights, optional quantizers (of the fit stage) and data. Outputs: model (ONNX).
"""

import msgspec

from nnrules.catalog.stages import ExportOptions
from nnrules.stages.runner import Request, main
from nnrules.training.onnx_export import export
from nnrules.training.task import make_dataset, make_network
from nnrules.training.weights import load_weights, read_note


def run(request: Request[ExportOptions]) -> None:
    """Load the weights, export, and hold the result against torch on test samples."""
    dataset = make_dataset(request.reference("dataset"), "test", request.optional("data"))
    network = make_network(request.reference("network"))
    load_weights(network, request.input("weights"))
    place, note = request.inputs["network"][0], read_note(request.input("weights"))
    if quantizers := request.optional("quantizers"):
        from nnrules.compress.fitting import clip_inputs
        from nnrules.compress.hoisting import hoist
        from nnrules.compress.widths import Fitted

        clip_inputs(network, msgspec.json.decode(quantizers.read_bytes(), type=dict[str, Fitted]))
        exported = export(network.eval(), dataset, place, note, hoist)
    else:
        exported = export(network.eval(), dataset, place, note)
    request.output("model").write_bytes(exported)


if __name__ == "__main__":
    main(run, ExportOptions)
