"""convert: a model file of somebody else's, and its samples, as the stages that follow want them.

Inputs: file; optional beside (files with its weights), samples and calibration (npz). Outputs: model (normalised ONNX
with real inputs and outputs), inputs (npz for nnrules/datasets/recorded.py).
"""

from pathlib import Path

import numpy as np
import onnx

from nnrules.catalog.stages import ConvertOptions
from nnrules.graph.importers import import_model
from nnrules.graph.importers.guard import guarded
from nnrules.graph.importers.samples import drawn, read_samples
from nnrules.stages.runner import Request, main


def run(request: Request[ConvertOptions]) -> None:
    """Read the file in a process of its own that is held to limits; nothing of a file is trusted."""
    path, output = request.input("file"), request.output("model")
    beside = [Path(each) for each in request.inputs.get("beside", ())]

    def read() -> None:
        onnx.save(import_model(path, request.model, beside), output)

    guarded(str(path), read, request.options.timeout)
    model = onnx.load(output)
    samples, calibration = request.optional("samples"), request.optional("calibration")
    arrays = read_samples(samples, model) if samples else drawn(model, request.model, request.options.count)
    if calibration:
        known = read_samples(calibration, model)
        arrays |= {f"calibration{name[1:]}": each for name, each in known.items() if name != "y"}
    with request.output("inputs").open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(run, ConvertOptions)
