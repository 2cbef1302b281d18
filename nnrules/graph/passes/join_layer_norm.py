"""ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, and Mul and Add with constants -> LayerNormalization.

So exporters write it before opset 17, which has the operator.
"""

import numpy as np
import onnx
from numpy.typing import NDArray

from nnrules.graph.importers.body import Body


def run(body: Body) -> None:
    """Over the last axis alone, and only where nothing in between is quantized."""
    for quotient in [each for each in body.nodes if each.op_type == "Div"]:
        found = _normalized(body, quotient)
        if found is None:
            continue
        x, epsilon, length = found
        end, gain = _behind(body, quotient, "Mul", length)
        last, bias = _behind(body, end, "Add", length)
        constants = [np.ones(length, np.float32) if gain is None else gain, bias]
        names = [
            body.add_constant(f"{last.output[0]}/{i}", each) for i, each in enumerate(constants) if each is not None
        ]
        joined = body.make("LayerNormalization", [x, *names], last.output[0], axis=-1, epsilon=epsilon)
        joined.name = quotient.name or last.output[0]
        body.replace(last, [joined])


def _normalized(body: Body, quotient: onnx.NodeProto) -> tuple[str, float, int] | None:
    """What a quotient normalizes, epsilon and the length of the last axis; None where it is another quotient."""
    root = _maker(body, quotient.input[1], "Sqrt")
    total = root and _maker(body, root.input[0], "Add")
    if total is None:
        return None
    epsilon, variance = body.constant(total.input[1]), total.input[0]
    if epsilon is None:
        epsilon, variance = body.constant(total.input[0]), total.input[1]
    square = _mean_of(body, variance)
    power = body.producer.get(square) if square else None
    if power is None or epsilon is None or epsilon.size != 1:
        return None
    exponent = body.constant(body.input(power, 1))
    squared = power.op_type == "Pow" and exponent is not None and exponent.size == 1 and exponent.item() == 2
    if not squared and not (power.op_type == "Mul" and power.input[0] == power.input[1]):
        return None
    sources = [_centred(body, value) for value in (power.input[0], quotient.input[0])]
    shape = body.shapes().get(sources[0] or "", ((), 0))[0]
    if sources[0] is None or sources[0] != sources[1] or not shape:
        return None
    return sources[0], float(epsilon.item()), shape[-1]


def _maker(body: Body, value: str, op_type: str) -> onnx.NodeProto | None:
    node = body.producer.get(value)
    return node if node is not None and node.op_type == op_type else None


def _mean_of(body: Body, value: str) -> str | None:
    """What a value is the mean of along the last axis, which is kept."""
    mean = _maker(body, value, "ReduceMean")
    axes = None if mean is None else body.constant(body.input(mean, 1))
    if mean is None or axes is None or axes.size != 1 or not body.attribute(mean, "keepdims", 1):
        return None
    rank = len(body.shapes().get(mean.input[0], ((), 0))[0])
    return mean.input[0] if axes.item() in (-1, rank - 1) else None


def _centred(body: Body, value: str) -> str | None:
    """What a value is without its mean."""
    difference = _maker(body, value, "Sub")
    if difference is None or _mean_of(body, difference.input[1]) != difference.input[0]:
        return None
    return difference.input[0]


def _behind(
    body: Body, node: onnx.NodeProto, op_type: str, length: int
) -> tuple[onnx.NodeProto, NDArray[np.float32] | None]:
    """The only reader, if it combines each position of the last axis with a constant; else the node itself."""
    reader = body.only_user(node.output[0])
    if reader is None or reader.op_type != op_type:
        return node, None
    other = reader.input[1] if reader.input[0] == node.output[0] else reader.input[0]
    constant = body.constant(other)
    if constant is None or constant.size not in (1, length) or constant.size != max((1, *constant.shape[-1:])):
        return node, None
    return reader, np.ascontiguousarray(np.broadcast_to(constant.reshape(-1), (length,)).astype(np.float32))
