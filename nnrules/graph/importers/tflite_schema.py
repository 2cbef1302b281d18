"""A `.tflite` file as plain records, read through its flatbuffer schema; nothing in it is trusted."""

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError
from nnrules.graph.importers.body import MOST_VALUES
from nnrules.graph.operator import Shape

IDENTIFIER = b"TFL3"
MOST = 5000  # tensors, operators, buffers
CUSTOM, PLACEHOLDER = 32, 127  # operator codes of the schema
DAMAGE = (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError, KeyError, AssertionError)
TYPES: dict[int, Any] = {
    0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 7: np.int16, 9: np.int8,
}  # fmt: skip


@dataclass(frozen=True)
class TfliteTensor:
    """`data`: its values where it is constant; `scales` and `points`: one, or one for each index of `axis`."""

    name: str
    shape: Shape
    dtype: Any
    data: NDArray[Any] | None
    scales: NDArray[np.float32]
    points: NDArray[np.int64]
    axis: int


@dataclass(frozen=True)
class TfliteOperator:
    """`options`: the schema's record, None where the operator has none; inputs of -1 are left out."""

    kind: str
    index: int
    inputs: list[int]
    outputs: list[int]
    options: Any


@dataclass(frozen=True)
class TfliteModel:
    """The one subgraph."""

    tensors: list[TfliteTensor]
    operators: list[TfliteOperator]
    inputs: list[int]
    outputs: list[int]


def parse(path: Path, name: str) -> TfliteModel:
    """The flatbuffer as records. Raises UserError where it is damaged or has parts that are not supported."""
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise UserError(str(path), "is not a TFLite model", f"its bytes 4 to 7 are not {IDENTIFIER.decode()}")
    try:
        return _parsed(content, name)
    except DAMAGE as error:  # what reading beyond the end, or at a wrong offset, ends in
        raise UserError(str(path), "is damaged", f"reading it failed: {type(error).__name__}") from None


def _parsed(content: bytes, name: str) -> TfliteModel:
    import tflite

    model = tflite.Model.GetRootAsModel(content, 0)
    if model.SubgraphsLength() != 1:
        fault = f"has {model.SubgraphsLength()} subgraphs"
        raise UserError(name, fault, "only models of one, without control flow, are supported")
    graph = model.Subgraphs(0)
    counts = (graph.TensorsLength(), graph.OperatorsLength(), model.BuffersLength(), model.OperatorCodesLength())
    if max(counts) > MOST:
        raise UserError(name, f"has {max(counts):,} tensors or operators", f"at most {MOST:,} are supported")
    tensors = [_tensor(model, graph.Tensors(i), i, name) for i in range(counts[0])]
    kinds = _kinds(model, name, counts[3])
    operators = [_operator(graph.Operators(i), i, kinds, len(tensors), name) for i in range(counts[1])]
    inputs = _indices([graph.Inputs(i) for i in range(_count(graph.InputsLength()))], len(tensors))
    outputs = _indices([graph.Outputs(i) for i in range(_count(graph.OutputsLength()))], len(tensors))
    return TfliteModel(_unique_names(tensors), operators, inputs, outputs)


def _unique_names(tensors: list[TfliteTensor]) -> list[TfliteTensor]:
    """Two tensors may share a name in the file; ONNX knows values by theirs. Fused layers have the first's."""
    names: dict[int, str] = {}
    for i in sorted(range(len(tensors)), key=lambda i: tensors[i].data is not None):
        name = tensors[i].name.partition(";")[0] or f"tensor{i}"
        names[i] = f"{name}/{i}" if name in names.values() else name
    return [TfliteTensor(**{**vars(tensor), "name": names[i]}) for i, tensor in enumerate(tensors)]


def _kinds(model: Any, name: str, count: int) -> list[str]:
    """The operators' names in the schema, like CONV_2D."""
    import tflite

    names = {value: key for key, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
    found = []
    for i in range(count):
        code = model.OperatorCodes(i)
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if number == CUSTOM:
            custom = (code.CustomCode() or b"").decode(errors="replace")
            raise UserError(name, f"has the custom operator '{custom}'", "only the schema's own are supported")
        found.append(names.get(number, f"operator {number}"))
    return found


def _operator(operator: Any, index: int, kinds: list[str], tensors: int, name: str) -> TfliteOperator:
    import tflite

    kind = kinds[operator.OpcodeIndex()]
    inputs = [operator.Inputs(i) for i in range(_count(operator.InputsLength()))]
    outputs = [operator.Outputs(i) for i in range(_count(operator.OutputsLength()))]
    options = None
    table = operator.BuiltinOptions()
    number = operator.BuiltinOptionsType()
    label = next((key for key, value in vars(tflite.BuiltinOptions).items() if value == number and value), None)
    if table is not None and label is not None:
        options = getattr(tflite, label)()
        options.Init(table.Bytes, table.Pos)
    _indices([each for each in inputs if each != -1], tensors)
    return TfliteOperator(kind, index, inputs, _indices(outputs, tensors), options)


def _tensor(model: Any, tensor: Any, index: int, name: str) -> TfliteTensor:
    label = (tensor.Name() or b"").decode(errors="replace")
    place = f"{name}: tensor '{label or index}'"
    shape = tuple(int(tensor.Shape(i)) for i in range(_count(tensor.ShapeLength())))
    if tensor.Type() not in TYPES:
        raise UserError(place, f"is of the schema's type {tensor.Type()}", "use int8, uint8 or float32")
    if min(shape, default=1) < 0 or math.prod(shape) > MOST_VALUES:
        raise UserError(place, f"claims the shape {shape}", f"at most {MOST_VALUES:,} values are supported")
    if tensor.Sparsity() is not None:
        raise UserError(place, "is stored sparse", "store it dense")
    dtype = np.dtype(TYPES[tensor.Type()])
    buffer = model.Buffers(tensor.Buffer())
    data = None
    if buffer.DataLength():
        stored = np.frombuffer(buffer.DataAsNumpy().tobytes(), dtype.newbyteorder("<")).astype(dtype)
        if stored.size != math.prod(shape):
            raise UserError(place, f"holds {stored.size:,} values for {shape}", "export the model again")
        data = stored.reshape(shape)
    scales, points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    quantization = tensor.Quantization()
    if quantization is not None and quantization.ScaleLength():
        count = _count(quantization.ScaleLength(), MOST_VALUES)
        scales = np.array(quantization.ScaleAsNumpy(), np.float32).reshape(count)
        axis = int(quantization.QuantizedDimension())
        points = np.zeros(count, np.int64)
        if quantization.ZeroPointLength():
            points = np.array(quantization.ZeroPointAsNumpy(), np.int64).reshape(-1)
        if len(points) != count or (count > 1 and (not 0 <= axis < len(shape) or shape[axis] != count)):
            raise UserError(place, f"has {count} scales for {shape} along axis {axis}", "export the model again")
    return TfliteTensor(label, shape, dtype, data, scales, points, axis)


def _indices(found: list[int], count: int) -> list[int]:
    if any(not 0 <= each < count for each in found):
        raise IndexError
    return [int(each) for each in found]


def _count(length: int, most: int = MOST) -> int:
    """A length that a list may have here."""
    if not 0 <= length <= most:
        raise OverflowError
    return int(length)
