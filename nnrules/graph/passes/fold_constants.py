"""Compute what depends on constants alone, and what asks for a shape; dequantized weights stay as they are stored."""

import math

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from nnrules.error import UserError
from nnrules.graph.importers.body import DEQUANTIZE, MICROSOFT, MOST_VALUES, QUANTIZE, Body
from nnrules.graph.operator import Shape

ROUNDS = 200
VIEWS = (
    "Reshape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Slice",
    "Gather",
    "Split",
    "Concat",
    "Expand",
    "Tile",
)
OF_INTEGERS = (QUANTIZE, *VIEWS)  # what is stored keeps its integers before these
RANDOM = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def run(body: Body) -> None:
    """Repeats until nothing is left to compute."""
    _dense_identities(body)
    for _ in range(ROUNDS):
        shapes = body.shapes()
        folded = False
        for node in list(body.nodes):
            values = _computed(body, node, shapes)
            if values is not None:
                body.constants.update(zip(node.output, values, strict=False))
                body.nodes = [each for each in body.nodes if each is not node]
                folded = True
        body.index()
        if not folded:
            return


def _dense_identities(body: Body) -> None:
    """A constant that is an output, or has no reader but one, needs no Identity."""
    for node in list(body.nodes):
        if node.op_type == "Identity" and node.input[0] in body.constants and node.output[0] not in body.ends:
            body.bypass(node)


def _computed(body: Body, node: onnx.NodeProto, shapes: dict[str, tuple[Shape, int]]) -> list[np.ndarray] | None:
    """The outputs of a node that can be known now."""
    dims = shapes[node.input[0]][0] if node.input and node.input[0] in shapes else None
    if node.op_type == "Shape" and dims is not None:
        return [np.array(dims, np.int64)[slice(body.attribute(node, "start", 0), body.attribute(node, "end"))]]
    if node.op_type == "Size" and dims is not None:
        return [np.array(math.prod(dims), np.int64)]
    if not _is_known(body, node):
        return None
    if node.op_type == QUANTIZE:
        return [_quantized(body, node)]
    results = [value for value in node.output if value]
    if any(value not in shapes for value in results):
        return None
    return _evaluated(body, node) if sum(math.prod(shapes[value][0]) for value in results) <= MOST_VALUES else None


def _is_known(body: Body, node: onnx.NodeProto) -> bool:
    """Whether a node depends on constants alone; what is stored dequantized stays so, and outputs stay computed."""
    if node.op_type == DEQUANTIZE or node.op_type in RANDOM or node.domain == MICROSOFT:
        return False
    held = body.constant if node.op_type in OF_INTEGERS else lambda value: _held(body, value)
    known = all(not value or held(value) is not None for value in node.input)
    return known and not any(value in body.ends for value in node.output)


def _held(body: Body, value: str) -> np.ndarray | None:
    """A constant, dequantized where it is stored as integers with one scale."""
    source = body.producer.get(value)
    if source is None or source.op_type != DEQUANTIZE:
        return body.constant(value)
    stored, scale, point = (body.constant(body.input(source, i)) for i in range(3))
    if stored is None or scale is None or scale.size != 1 or (point is None and body.input(source, 2)):
        return None
    centred = stored.astype(np.float32) - np.float32(0 if point is None else point.reshape(()))
    return centred * scale.reshape(()).astype(np.float32)


def _evaluated(body: Body, node: onnx.NodeProto) -> list[np.ndarray]:
    inputs = {value: held for value in node.input if value and (held := _held(body, value)) is not None}
    described = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in inputs.items()
    ]
    results = [onnx.ValueInfoProto(name=value) for value in node.output if value]
    graph = onnx.helper.make_graph([node], "constant", described, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", body.opset)])
    try:
        with np.errstate(all="ignore"):
            found = ReferenceEvaluator(model).run(None, inputs)
    except Exception as error:  # whatever numpy says of constants that do not fit
        fault = f"cannot be computed from its constants: {(str(error).splitlines() or ['no reason given'])[0]}"
        raise UserError(body.place(node), fault, "export the model again") from None
    return [np.asarray(each) for each in found]


def _quantized(body: Body, node: onnx.NodeProto) -> np.ndarray:
    """A constant quantized once and for all: rounded half to even, saturated."""
    values, scale = body.constants[node.input[0]].astype(np.float32), body.constants[node.input[1]]
    point = body.constants[node.input[2]] if body.input(node, 2) else np.uint8(0)
    kind = np.asarray(point).dtype
    if kind not in (np.int8, np.uint8, np.int16, np.uint16, np.int32):
        raise UserError(body.place(node), f"quantizes to {kind}", "only int8 and uint8 are supported")
    if np.size(scale) > 1:
        axis = body.attribute(node, "axis", 1)
        shape = [-1 if each == axis % max(values.ndim, 1) else 1 for each in range(values.ndim)]
        if values.ndim == 0 or np.size(scale) != values.shape[axis % values.ndim]:
            raise UserError(
                body.place(node), f"has {np.size(scale)} scales for {values.shape}", "export the model again"
            )
        scale, point = scale.reshape(shape), point.reshape(shape) if np.size(point) > 1 else point
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise UserError(body.place(node), "its scale is not a positive number", "check the model for NaN")
    limits = np.iinfo(kind)
    with np.errstate(invalid="ignore"):
        levels = np.rint(values / scale.astype(np.float32)).astype(np.float64) + np.asarray(point).astype(np.float64)
    if not np.isfinite(levels).all():
        raise UserError(body.place(node), "quantizes values that are not finite", "check the model for NaN")
    return np.clip(levels, limits.min, limits.max).astype(kind)
