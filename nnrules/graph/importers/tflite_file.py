"""`.tflite`: its records, written as a QDQ ONNX model.

Tensors keep their names and NHWC order; Transposes, folded into views later, surround what ONNX has as NCHW only.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx

from nnrules.error import UserError
from nnrules.graph.importers.tflite_elementwise import ELEMENTWISE
from nnrules.graph.importers.tflite_layers import LAYERS
from nnrules.graph.importers.tflite_moves import MOVES
from nnrules.graph.importers.tflite_schema import TfliteModel, TfliteOperator, parse
from nnrules.graph.importers.tflite_sizes import without_sizes
from nnrules.graph.importers.tflite_writer import Writer

SUFFIXES = (".tflite",)
OPERATORS: Mapping[str, Callable[[Writer, TfliteOperator], None]] = {**LAYERS, **ELEMENTWISE, **MOVES}
"""By the schema's name, what writes an operator."""


def read(path: Path, name: str, beside: Sequence[Path]) -> onnx.ModelProto:
    """The model as ONNX: QDQ where it is quantized."""
    return written(without_sizes(parse(path, name), name), name)


def written(model: TfliteModel, name: str) -> onnx.ModelProto:
    """The model in ONNX. Raises UserError that names the first operator that is not supported or damaged."""
    writer = Writer(model, name)
    for operator in model.operators:
        if operator.kind not in OPERATORS:
            raise UserError(writer.place(operator), "is not supported", "leave it out of the model")
        try:
            OPERATORS[operator.kind](writer, operator)
        except struct.error:  # the options are read from the file here
            raise UserError(writer.place(operator), "its options are damaged", "export the model again") from None
    return writer.model()
