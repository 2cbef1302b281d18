"""Samples that come with an imported model, checked against its inputs and turned into real numbers."""

import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from nnrules.error import UserError
from nnrules.graph.importers.body import QUANTIZE

ONLY, LABELS = "x", "y"


def read_samples(path: Path, model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The arrays of a .npz file as `x0`, `x1`, ... (float32, in the order of the model's inputs), and `y` (int64).

    The file has one array for each input, by its name; one input's may be called "x". float32 are real numbers, int8
    or uint8 the integers of an input that the model quantizes so. Raises UserError for anything else.
    """
    place, arrays = str(path), _load(path)
    inputs, found = list(model.graph.input), {}
    known = {each.name: [each.name] for each in inputs}
    if len(inputs) == 1:
        known = {inputs[0].name: [inputs[0].name, ONLY]}
    for i, value in enumerate(inputs):
        label = next((name for name in known[value.name] if name in arrays), None)
        if label is None:
            needed = " or ".join(map(repr, dict.fromkeys(known[value.name])))
            raise UserError(place, f"has no array {needed}", f"it has {_listed(arrays)}")
        found[f"x{i}"] = _real(place, label, arrays[label], value, model)
    counts = {len(each) for each in found.values()}
    if len(counts) > 1:
        raise UserError(place, f"its arrays hold {', '.join(map(str, sorted(counts)))} samples", "give as many of each")
    if LABELS in arrays and LABELS not in [each.name for each in inputs]:
        found[LABELS] = _labels(place, arrays[LABELS], counts.pop(), model.graph.output[0])
    return found


def drawn(model: onnx.ModelProto, name: str, count: int) -> dict[str, np.ndarray]:
    """Inputs drawn evenly from all integers of quantized inputs, for models that came without samples.

    Raises UserError for an input that is not quantized: nobody knows its range.
    """
    chance, found = np.random.default_rng(0), {"drawn": np.array(True)}
    for i, value in enumerate(model.graph.input):
        known = edge(model, value.name)
        if known is None:
            fault = "is not quantized, and there are no samples that show its range"
            raise UserError(f"{name}: input '{value.name}'", fault, "give samples=PATH.npz")
        scale, point, kind = known
        limits = np.iinfo(kind)
        integers = chance.integers(limits.min, limits.max + 1, (count, *_shape(value)[1:]))
        found[f"x{i}"] = ((integers - point) * scale).astype(np.float32)
    return found


def edge(model: onnx.ModelProto, name: str) -> tuple[float, int, np.dtype] | None:
    """Scale, zero point and type of the QuantizeLinear that reads an input; None where there is none."""
    constants = {each.name: each for each in model.graph.initializer}
    node = next((n for n in model.graph.node if n.op_type == QUANTIZE and n.input[0] == name), None)
    if node is None or any(each not in constants for each in node.input[1:]):
        return None
    scale = numpy_helper.to_array(constants[node.input[1]])
    point = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.uint8(0)
    if np.size(scale) != 1 or np.size(point) != 1 or np.asarray(point).dtype.kind not in "iu":
        return None
    return float(scale.reshape(-1)[0]), int(np.reshape(point, -1)[0]), np.asarray(point).dtype


def _listed(names: Iterable[str]) -> str:
    """The first few."""
    shown = [repr(name) for name in islice(names, 6)]
    return ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "") if shown else "none"


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile's, numpy's and zlib's, without a common base
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(str(path), f"cannot be read as .npz: {told}", "write it with numpy.savez") from None


def _real(place: str, label: str, array: np.ndarray, value: onnx.ValueInfoProto, model: onnx.ModelProto) -> np.ndarray:
    """An array as the real numbers that it stands for."""
    shape, known = _shape(value), edge(model, value.name)
    told = f"(N, {', '.join(map(str, shape[1:]))})"
    if array.shape[1:] != shape[1:] or array.ndim != len(shape):
        raise UserError(place, f"'{label}' has shape {array.shape}", f"the model's input '{value.name}' is {told}")
    if len(array) == 0:
        raise UserError(place, f"'{label}' holds no samples", "give some")
    if array.dtype in (np.float32, np.float64):
        if not np.isfinite(array).all():
            raise UserError(place, f"'{label}' holds NaN or infinite values", "leave those samples out")
        return array.astype(np.float32)
    if known is not None and array.dtype == known[2]:
        return ((array.astype(np.int64) - known[1]) * known[0]).astype(np.float32)
    wanted = "float32" if known is None else f"{known[2]} or float32"
    raise UserError(place, f"'{label}' is {array.dtype}", f"the model's input '{value.name}' is {wanted}")


def _labels(place: str, labels: np.ndarray, count: int, output: onnx.ValueInfoProto) -> np.ndarray:
    """Labels as int64. They are positions in the model's output, or, where that is one number, that number."""
    labels = labels.reshape(-1) if labels.shape[1:] == (1,) else labels
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        fault = f"'{LABELS}' is {labels.dtype} {labels.shape}"
        raise UserError(place, fault, f"labels are integers, one for each of the {count} samples")
    classes = math.prod(_shape(output)[1:])
    last = classes - 1 if classes > 1 else np.iinfo(np.int64).max
    outside = next((int(each) for each in labels if not 0 <= int(each) <= last), None)
    if outside is not None:
        cure = f"labels are 0 to {last}, as the model's output '{output.name}'" if classes > 1 else "labels start at 0"
        raise UserError(place, f"'{LABELS}' holds {outside}", cure)
    return labels.astype(np.int64)


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
