"""Quantize a float ONNX model after training: calibrate on training data, write the record and the QDQ model."""

import importlib
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.calibration import histograms
from nnrules.compress.qdq import (
    LINEAR,
    UNIT_RANGE,
    Activation,
    QuantizationRecord,
    activations_to_quantize,
    channel_axis,
    quantized_model,
    weight_scales,
)
from nnrules.stages.runner import Request, main
from nnrules.training.task import Dataset, make_dataset

BATCH = 16


def run(request: Request[QuantizeOptions]) -> None:
    """Inputs ``model`` (float ONNX) and ``dataset``; outputs ``qparams`` (JSON record) and ``model`` (QDQ ONNX)."""
    options = request.options
    model = onnx.load(request.input("model"))
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    where = str(request.input("model"))
    record = QuantizationRecord(
        method=options.method,
        activations=_activations(model, dataset, options, where),
        weights=_weights(model, where),
    )
    request.output("qparams").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    onnx.save(quantized_model(model, record), request.output("model"))


def _activations(
    model: onnx.ModelProto, dataset: Dataset, options: QuantizeOptions, where: str
) -> dict[str, Activation]:
    """Parameters of every tensor with a range of its own: fixed, the dataset's own, or from calibration."""
    choose_range = importlib.import_module(f"nnrules.compress.quantizers.{options.method}").choose_range
    kinds = {node.output[0]: node.op_type for node in model.graph.node}
    own = [name for name, shared in activations_to_quantize(model).items() if not shared]
    source = model.graph.input[0].name
    found = {name: Activation(1 / 256, -128) for name in own if kinds.get(name) in UNIT_RANGE}
    found[source] = _input_parameters(dataset, options)
    measured = [name for name in own if name not in found]
    for name, histogram in histograms(model, measured, lambda: _batches(dataset, options), where).items():
        found[name] = Activation.covering(*choose_range(histogram, options))
    return found


def _input_parameters(dataset: Dataset, options: QuantizeOptions) -> Activation:
    """The dataset's ``input_quantization`` (scale, zero point) where it says one, else the range of its samples."""
    stated: Any = getattr(dataset, "input_quantization", None)
    if stated is not None:
        return Activation(float(np.float32(stated[0])), int(stated[1]))
    extremes = [(float(b.min()), float(b.max())) for b in _batches(dataset, options)]
    return Activation.covering(min(e[0] for e in extremes), max(e[1] for e in extremes))


def _batches(dataset: Dataset, options: QuantizeOptions) -> Iterator[np.ndarray]:
    count = min(options.samples, len(dataset))
    for start in range(0, count, BATCH):
        yield np.stack([dataset[i][0] for i in range(start, min(start + BATCH, count))])


def _weights(model: onnx.ModelProto, where: str) -> dict[str, list[float]]:
    initializers = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    linear = [n for n in model.graph.node if n.op_type in LINEAR and n.input[1] in initializers]
    return {
        n.input[1]: weight_scales(initializers[n.input[1]], channel_axis(n), f"{where}: '{n.input[1]}'").tolist()
        for n in linear
    }


if __name__ == "__main__":
    main(run, QuantizeOptions)
