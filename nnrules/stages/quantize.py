"""Quantize a float ONNX model after training: calibrate on training data, write the record and the QDQ model."""

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec
import numpy as np
import onnx
from safetensors.numpy import load_file

from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.after_training import prepare
from nnrules.compress.aligning import align, take_over
from nnrules.compress.calibration import histograms
from nnrules.compress.gaps import fill, is_quantized
from nnrules.compress.hoisting import quantizer_of
from nnrules.compress.parameters import (
    LINEAR,
    UNIT_RANGE,
    Activation,
    QuantizationRecord,
    carriers,
    weight_scales,
)
from nnrules.compress.qdq import quantized_model
from nnrules.compress.quantizers import dynamic_qformat, percentile
from nnrules.compress.widths import WIDEST, Fitted, with_allotted
from nnrules.error import UserError
from nnrules.graph.format_tables import selector_for, tabled
from nnrules.graph.importers.body import Body
from nnrules.stages.runner import Request, main
from nnrules.training.task import Dataset, Floats, make_dataset, stacked

BATCH = 16


def run(request: Request[QuantizeOptions]) -> None:
    """Inputs ``model`` (float ONNX), ``dataset`` and, of the fit stage, ``codes`` and ``quantizers``; outputs
    ``qparams`` (JSON record) and ``model`` (QDQ ONNX)."""
    options = with_allotted(request.options, request.optional("widths"))
    model = onnx.load(request.input("model"))
    dataset = make_dataset(request.reference("dataset"), "train", request.optional("data"))
    where = str(request.input("model"))
    record: QuantizationRecord | list[QuantizationRecord]
    if options.method == "dynamic_qformat":
        finished, record = of_formats(model, dataset, options, request.model)
    elif is_quantized(model):
        _require_wide(options, request.model)
        finished, record = completed(model, dataset, options, request.model)
    else:
        if "codes" in request.inputs:
            stated, codes = _fitted(request, model)
        else:
            batches = partial(_batches, dataset, options, _size(model))
            choose = _after_training(options.method).choose_range
            prepared = prepare(model, options, batches, choose, request.model)
            stated, codes = prepared.stated, prepared.codes
        record = calibrated(model, dataset, options, where, stated, codes)
        finished = quantized_model(model, record)
    request.output("qparams").write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    onnx.save(finished, request.output("model"))


def of_formats(
    model: onnx.ModelProto, dataset: Dataset, options: QuantizeOptions, name: str
) -> tuple[onnx.ModelProto, list[QuantizationRecord]]:
    """A float model quantized in several formats, with tables; what was chosen for each."""
    if is_quantized(model):
        raise UserError(name, "is quantized already", "dynamic_qformat needs a float model")
    records = dynamic_qformat.records(model, list(_batches(dataset, options)), options, name)
    models = [quantized_model(model, record) for record in records]
    return tabled(models, selector_for(model)), records


def completed(
    model: onnx.ModelProto, dataset: Dataset, options: QuantizeOptions, name: str
) -> tuple[onnx.ModelProto, QuantizationRecord]:
    """A model that is quantized, all of it or in part, with the rest calibrated; what was chosen here."""

    def calibrate(partial: onnx.ModelProto, tensors: list[str]) -> dict[str, Activation]:
        if getattr(dataset, "drawn", False):
            place = Body(partial, name).told(tensors[0])
            fault = "its output is not quantized, and there are no samples that show its range"
            raise UserError(place, fault, "give samples=PATH.npz")
        return _measured(partial, tensors, dataset, options, name)

    finished, activations, weights = fill(model, name, calibrate)
    return finished, QuantizationRecord(options.method, activations, weights)


def calibrated(
    model: onnx.ModelProto,
    dataset: Dataset,
    options: QuantizeOptions,
    where: str,
    stated: dict[str, Activation] | None = None,
    codes: dict[str, np.ndarray] | None = None,
) -> QuantizationRecord:
    """The parameters of a float model: what training chose (``stated`` activations, ``codes`` of weights by
    initializer), and the rest by one of the quantizers after training."""
    given = stated or {}
    activations = _activations(model, dataset, options, where, given)
    given = take_over(model, activations, stated or {})
    activations = {name: each for name, each in activations.items() if name in given or name not in (stated or {})}
    activations = align(model, {**activations, **given}, given)
    per_channel = options.per_channel is not False
    weights = weight_scales(model, activations, where, given, codes, per_channel)
    return QuantizationRecord(options.method, activations, weights, tuple(given))


def _require_wide(options: QuantizeOptions, name: str) -> None:
    """Raises UserError where a model that is quantized is to have other bits."""
    if min(options.weight_bits, options.activation_bits) < WIDEST or options.layers:
        fault = "is quantized already and keeps the bits it has"
        raise UserError(name, fault, "leave weight_bits, activation_bits and layers out, or give the float model")


def _fitted(
    request: Request[QuantizeOptions], model: onnx.ModelProto
) -> tuple[dict[str, Activation], dict[str, np.ndarray]]:
    """What the fit stage says of the exported model's activations and weights, by their names there."""
    fitted = msgspec.json.decode(request.input("quantizers").read_bytes(), type=dict[str, Fitted])
    codes = load_file(request.input("codes"))
    stated, by_initializer = {}, {}
    for node in model.graph.node:  # a layer that runs several times has several
        name = node.input[1].removesuffix(".weight") if node.op_type in LINEAR else ""
        if name in codes:
            by_initializer[node.input[1]] = codes[name].T if node.op_type == "MatMul" else codes[name]
        if name in fitted and fitted[name].inputs:
            chosen = fitted[name]
            value = quantizer_of(model, node.input[0])
            stated[value] = Activation(float(np.float32(chosen.scale)), chosen.zero_point)
    return stated, by_initializer


def _activations(
    model: onnx.ModelProto, dataset: Dataset, options: QuantizeOptions, where: str, stated: dict[str, Activation]
) -> dict[str, Activation]:
    """Parameters of every tensor with a range of its own: stated, fixed, the dataset's own, or from calibration."""
    kinds = {node.output[0]: node.op_type for node in model.graph.node}
    own = [name for name, carried in carriers(model, stated).items() if name == carried]
    found = dict(stated) | {name: Activation(1 / 256, -128) for name in own if kinds.get(name) in UNIT_RANGE}
    found |= dict(zip((each.name for each in model.graph.input), _input_parameters(dataset, options), strict=True))
    measured = [name for name in own if name not in found]
    return found | _measured(model, measured, dataset, options, where)


def _measured(
    model: onnx.ModelProto, tensors: list[str], dataset: Dataset, options: QuantizeOptions, where: str
) -> dict[str, Activation]:
    """Parameters by calibration; a model of a fixed batch is run sample by sample."""
    choose_range = _after_training(options.method).choose_range
    seen = histograms(model, tensors, lambda: _batches(dataset, options, _size(model)), where)
    ranges = {name: choose_range(histogram, options) for name, histogram in seen.items()}
    return {name: Activation.covering(low, high, options.symmetric) for name, (low, high) in ranges.items()}


def _size(model: onnx.ModelProto) -> int:
    """The batch that a model takes."""
    return model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or BATCH


def _after_training(method: str) -> Any:
    """The quantizer of what is not trained: the method itself, or beside one that trains, percentile."""
    found = importlib.import_module(f"nnrules.compress.quantizers.{method}")
    return found if hasattr(found, "choose_range") else percentile


def _input_parameters(dataset: Dataset, options: QuantizeOptions) -> list[Activation]:
    """For each input, the dataset's ``input_quantization`` where it says one, else the range of its samples."""
    columns = list(zip(*_batches(dataset, options), strict=True))
    stated: Any = getattr(dataset, "input_quantization", None)
    if stated is not None:
        each = list(stated) if isinstance(stated[0], tuple | list) else [stated] * len(columns)
        return [Activation(float(np.float32(scale)), int(zero_point)) for scale, zero_point in each]
    return [Activation.covering(min(map(np.min, parts)), max(map(np.max, parts))) for parts in columns]


def _batches(dataset: Dataset, options: QuantizeOptions, size: int = BATCH) -> Iterator[tuple[Floats, ...]]:
    count = min(options.samples, len(dataset))
    for start in range(0, count, size):
        yield stacked(dataset, range(start, min(start + size, count)))


if __name__ == "__main__":
    main(run, QuantizeOptions)
