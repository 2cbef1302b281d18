"""Initializers of an ONNX model as arrays."""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def weights(model: onnx.ModelProto, name: str) -> NDArray[np.float64]:
    """An initializer as float64."""
    return next(numpy_helper.to_array(i) for i in model.graph.initializer if i.name == name).astype(np.float64)


def store(model: onnx.ModelProto, name: str, values: np.ndarray) -> None:
    """Give an initializer other values, float32."""
    index = next(i for i, each in enumerate(model.graph.initializer) if each.name == name)
    model.graph.initializer[index].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
