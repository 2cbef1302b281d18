"""y = a * x + b with constant a and b: a table where both are single numbers, else a depthwise 1x1 convolution.

Products, quotients, sums and differences with a constant, and a BatchNormalization that stands alone, are all this.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nnrules.error import UserError
from nnrules.graph.operator import Geometry
from nnrules.graph.ops.conv2d import Conv2d
from nnrules.graph.ops.lookup import lower_unary
from nnrules.graph.views import Index, positions

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.ir import Tensor
    from nnrules.graph.lowering import Lowering

Reals = NDArray[np.float64]

LARGEST_WEIGHT = 127
LARGEST_BIAS = 2.0**30
FINEST = 2.0**-16  # of an output step: an accumulator's smallest, so that one multiplier expresses it well


def lower_affine(lowering: "Lowering", node: "onnx.NodeProto", value: str, a: Reals, b: Reals) -> None:
    """Add a * x + b for the activation ``value``; a and b broadcast against its ONNX shape without batch.

    Raises UserError where a or b holds a NaN or an infinity.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise UserError(lowering.place(node), "its constant is not finite", "check the model for NaN and zeros")
    shape = lowering.view(node, value).index.shape
    if np.ptp(a) == np.ptp(b) == 0 and np.broadcast_shapes(shape, a.shape, b.shape) == shape:
        slope, offset = float(a.flat[0]), float(b.flat[0])
        lower_unary(lowering, node, value, lambda x: x * slope + offset)
        return
    x, view, (factors, offsets) = by_channel(lowering, node, value, a, b)
    output = lowering.output(node)
    weights, bias, scales = quantized_affine(factors, offsets, x.scale, output.scale)
    weights = weights.reshape(-1, 1, 1, 1)
    certified, requantization = lowering.certified(node, x, weights, scales, bias)
    operator = Conv2d(
        geometry=Geometry(kernel=(1, 1)),
        groups=len(bias),
        weights=weights,
        bias=certified,
        x_zero_point=x.zero_point,
        requantization=requantization,
    )
    lowering.add(node, operator, [x.name], view=view)


def by_channel(
    lowering: "Lowering", node: "onnx.NodeProto", value: str, *constants: Reals
) -> "tuple[Tensor, Index, list[Reals]]":
    """The activation ``value`` as an image of so many channels that each constant has one number for each of them.

    Gives the image, the view of an output of the same shape, and the numbers. The constants broadcast against the ONNX
    shape without batch.
    """
    x, order = lowering.spread(node, value, np.broadcast_shapes(*(each.shape for each in constants)))
    onnx_shape = [x.shape[order.index(axis)] for axis in range(len(order))]
    full = [np.broadcast_to(each, onnx_shape).transpose(order) for each in constants]
    repeated = min(map(_repeated_axes, full))
    channels = math.prod(x.shape[repeated:])
    image = x if len(x.shape) == 3 and repeated == 2 else lowering.reshaped(x, (1, x.size // channels, channels))
    view = positions(x.shape).transpose(np.argsort(order))
    return image, view, [each.reshape(-1, channels)[0] for each in full]


def quantized_affine(
    a: Reals, b: Reals, x_scale: float, y_scale: float
) -> tuple[NDArray[np.int8], NDArray[np.int64], Reals]:
    """Per channel an int8 weight (127 or -127 but where b or the output's step asks for less), a bias and their scale.

    a * x + b = scale * (weight * (x / x_scale) + bias), to less than a tenth of an output step.
    """
    scales = np.maximum(np.maximum(np.abs(a) * x_scale / LARGEST_WEIGHT, np.abs(b) / LARGEST_BIAS), y_scale * FINEST)
    weights = np.rint(a * x_scale / scales).astype(np.int8)
    return weights, np.rint(b / scales).astype(np.int64), scales


def _repeated_axes(array: Reals) -> int:
    """How many leading axes the values do not depend on."""
    same = [(np.moveaxis(array, axis, 0) == array.take(0, axis)).all() for axis in range(array.ndim)]
    return [*same, False].index(False)
