"""TFLite's operators that compute sizes: with a batch of one their results are constants.

Keras writes the sizes of a Flatten, Reshape or Conv2DTranspose so, because its batch is not fixed.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError
from nnrules.graph.importers.tflite_schema import DAMAGE, TfliteModel, TfliteOperator, TfliteTensor

LONGEST = 64
Integers = NDArray[np.int64]


def without_sizes(model: TfliteModel, name: str) -> TfliteModel:
    """The model with such results as constants. Raises UserError that names an operator which cannot be computed."""
    tensors, kept = list(model.tensors), []
    for operator in model.operators:
        sources = [tensors[i] for i in operator.inputs if i >= 0]
        if operator.kind not in SIZES or len(operator.outputs) != 1 or not _known(operator, sources):
            kept.append(operator)
            _complete(tensors, operator, sources)
            continue
        index = operator.outputs[0]
        try:
            found = np.asarray(SIZES[operator.kind](operator.options, sources), np.int64)
        except DAMAGE as error:  # integers that do not fit, or options that are damaged
            place = f"{name}: node '{tensors[index].name}' ({operator.kind})"
            raise UserError(place, "cannot be computed", f"export the model again ({type(error).__name__})") from None
        tensors[index] = replace(tensors[index], data=found.astype(np.int32), shape=found.shape)
    return replace(model, tensors=tensors, operators=kept)


def _complete(tensors: list[TfliteTensor], operator: TfliteOperator, sources: list[TfliteTensor]) -> None:
    """Give the output the shape that the file leaves open: of a Reshape, and of a dense layer behind one."""
    if operator.kind not in ("RESHAPE", "FULLY_CONNECTED") or len(sources) < 2 or len(operator.outputs) != 1:
        return
    x, other, output = sources[0], sources[1], tensors[operator.outputs[0]]
    values = math.prod(x.shape)
    if operator.kind == "RESHAPE" and other.data is not None:
        sizes = [int(each) for each in other.data.reshape(-1)]
        rest = -math.prod(sizes)
        shape = tuple(values // rest if each == -1 and rest > 0 else each for each in sizes)
    elif operator.kind == "FULLY_CONNECTED" and len(other.shape) == 2 and len(output.shape) == 2 and other.shape[1]:
        shape = (values // other.shape[1], other.shape[0])
    else:
        return
    if math.prod(output.shape) != math.prod(shape):
        tensors[operator.outputs[0]] = replace(output, shape=shape)


def _known(operator: TfliteOperator, sources: list[TfliteTensor]) -> bool:
    if operator.kind == "SHAPE":
        return True
    return bool(sources) and all(
        each.data is not None and each.data.dtype in (np.int32, np.int64) and each.data.size <= LONGEST
        for each in sources
    )


def _of(sources: list[TfliteTensor], position: int = 0) -> Integers:
    data = sources[position].data
    return np.zeros(0, np.int64) if data is None else data.astype(np.int64)


def _strided_slice(options: Any, sources: list[TfliteTensor]) -> Integers:
    """Of a list: its first axis alone."""
    x, (begin,), (end,), (step,) = (_of(sources, i) for i in range(4))
    first = None if options.BeginMask() & 1 else begin
    if options.ShrinkAxisMask() & 1:
        return np.asarray(x[begin])
    return np.asarray(x[first : None if options.EndMask() & 1 else end : step])


SIZES: Mapping[str, Callable[[Any, list[TfliteTensor]], Any]] = {
    "SHAPE": lambda options, sources: sources[0].shape,
    "STRIDED_SLICE": _strided_slice,
    "PACK": lambda options, sources: np.stack([_of(sources, i) for i in range(len(sources))], options.Axis()),
    "CONCATENATION": lambda options, sources: np.concatenate([_of(sources, i) for i in range(len(sources))]),
    "GATHER": lambda options, sources: _of(sources)[_of(sources, 1)],
    "REDUCE_PROD": lambda options, sources: _of(sources).prod(),
    "MUL": lambda options, sources: _of(sources) * _of(sources, 1),
    "ADD": lambda options, sources: _of(sources) + _of(sources, 1),
    "SUB": lambda options, sources: _of(sources) - _of(sources, 1),
    "RESHAPE": lambda options, sources: _of(sources).reshape(_of(sources, 1)),
    "CAST": lambda options, sources: _of(sources),
}
"""By the schema's name, what an operator makes of integers."""
