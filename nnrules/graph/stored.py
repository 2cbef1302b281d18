"""A model's constants: as they are stored, as the integers of a DequantizeLinear, as real numbers."""

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


class Stored:
    """`arrays`: what the model stores, by name, in initializers and Constant nodes; `producer`: the node that makes a
    value.
    """

    def __init__(self, body: onnx.GraphProto) -> None:
        self.arrays = {i.name: numpy_helper.to_array(i) for i in body.initializer}
        self.arrays |= {n.output[0]: _constant(n) for n in body.node if n.op_type == "Constant"}
        self.producer = {output: node for node in body.node for output in node.output}

    def dequantized(self, value: str) -> onnx.NodeProto | None:
        """The DequantizeLinear of stored integers that makes a value, if one does."""
        source = self.producer.get(value)
        if source is None or source.op_type != DEQUANTIZE:
            return None
        return source if all(each in self.arrays for each in source.input if each) else None

    def centred(self, source: onnx.NodeProto) -> tuple[np.ndarray, int]:
        """A DequantizeLinear's stored integers less their zero point, int64, and the axis of its scales."""
        values = self.arrays[source.input[0]].astype(np.int64)
        axis = _attribute(source, "axis", 1) % max(values.ndim, 1)
        if len(source.input) > 2:
            points = self.arrays[source.input[2]].astype(np.int64)
            values = values - (points.reshape(_along(axis, values.ndim)) if points.size > 1 else points)
        return values, axis

    def real(self, value: str) -> np.ndarray | None:
        """A constant as real numbers, dequantized if it is stored as integers; None for what is none."""
        if value in self.arrays:
            return self.arrays[value]
        source = self.dequantized(value)
        if source is None:
            return None
        integers, axis = self.centred(source)
        scales = self.arrays[source.input[1]]
        return integers * (scales.reshape(_along(axis, integers.ndim)) if scales.size > 1 else scales).astype(
            np.float64
        )


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _constant(node: onnx.NodeProto) -> np.ndarray:
    """The value of a Constant node, in whichever attribute it stands."""
    value = onnx.helper.get_attribute_value(node.attribute[0])
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def _along(axis: int, rank: int) -> list[int]:
    """The shape in which one value per index of an axis broadcasts."""
    return [-1 if a == axis else 1 for a in range(rank)]
