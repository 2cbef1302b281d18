"""Stored weights that leave 8 bits after their zero point -> several that do not, of an input repeated as often.

onnxruntime.quantization and the older TFLite converter write such ones: uint8, with any zero point. w x = a x + b x is
exact, and only the input channels that have such a weight are repeated.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from nnrules.graph.importers.body import DEQUANTIZE, Body

IN_AXIS = {"Conv": 1, "ConvTranspose": 0, "Gemm": 0, "MatMul": 0}
MOST_PARTS = 3  # of 255 = 127 + 127 + 1
LEAST, GREATEST = -128, 127

Integers = NDArray[np.int64]


def run(body: Body) -> None:
    """Layers of constant weights only. What would need more parts, as 16-bit weights do, stays and is refused later."""
    for node in [each for each in body.nodes if each.op_type in IN_AXIS]:
        source = body.producer.get(body.input(node, 1))
        if source is None or source.op_type != DEQUANTIZE or body.attribute(node, "transA", 0):
            continue
        centred = _centred(body, source)
        if centred is not None and (centred.min(initial=0) < LEAST or centred.max(initial=0) > GREATEST):
            _split(body, node, source, centred)


def _centred(body: Body, source: onnx.NodeProto) -> Integers | None:
    """The integers less their zero point, where both are constants."""
    stored, point = body.constant(source.input[0]), body.constant(body.input(source, 2))
    if stored is None or point is None:
        return None
    axis = body.attribute(source, "axis", 1) % max(stored.ndim, 1)
    along = [-1 if each == axis else 1 for each in range(stored.ndim)] if point.size > 1 else ()
    return stored.astype(np.int64) - point.astype(np.int64).reshape(along)


def _split(body: Body, node: onnx.NodeProto, source: onnx.NodeProto, centred: Integers) -> None:
    """Put a Gather before the layer, and the parts of its weights behind one another along the input's channels."""
    axis = 1 if node.op_type == "Gemm" and body.attribute(node, "transB", 0) else IN_AXIS[node.op_type]
    groups = body.attribute(node, "group", 1)
    within = groups if node.op_type == "ConvTranspose" else 1  # of a Conv's weights, each group has its own outputs
    inner = np.moveaxis(centred, axis, 0)
    inner = inner.reshape(within, len(inner) // within, *inner.shape[1:])
    others = tuple(each for each in range(inner.ndim) if each != 1)
    parts, places, rest = list[Integers](), list[Integers](), inner
    while rest.any() or not parts:
        if len(parts) == MOST_PARTS:
            return
        part = np.clip(rest, LEAST, GREATEST)
        needed = np.flatnonzero(part.any(others)) if parts else np.arange(inner.shape[1])
        parts.append(part[:, needed])
        places.append(needed)
        rest = rest - part
    channels = np.add.outer(np.arange(groups) * inner.shape[1], np.concatenate(places)).reshape(-1)
    joined = np.concatenate(parts, 1)
    weights = np.moveaxis(joined.reshape(-1, *inner.shape[2:]), 0, axis).astype(np.int8)
    _replace(body, node, source, weights, channels)


def _replace(
    body: Body, node: onnx.NodeProto, source: onnx.NodeProto, weights: NDArray[np.int8], channels: Integers
) -> None:
    """The layer reads `channels` of its input, and `weights` at the scale that the old ones have."""
    point = np.zeros_like(body.constants[source.input[2]], np.int8)
    stored = [
        body.add_constant(f"{source.input[0]}/parts", np.ascontiguousarray(weights)),
        source.input[1],
        body.add_constant(f"{source.input[2]}/parts", point),
    ]
    made = body.make(DEQUANTIZE, stored, body.fresh(f"{source.output[0]}/parts"))
    made.attribute.extend(source.attribute)
    positions = body.add_constant(f"{node.input[0]}/channels", channels)
    result = body.fresh(f"{node.input[0]}/repeated/{node.output[0]}")
    gather = body.make("Gather", [node.input[0], positions], result, axis=-1 if node.op_type == "MatMul" else 1)
    node.input[0], node.input[1] = result, made.output[0]
    body.insert_after(source, made)
    i = next(i for i, each in enumerate(body.nodes) if each is node)
    body.nodes.insert(i, gather)
    body.index()
