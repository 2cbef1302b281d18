"""The largest or smallest of activations: a row of each, on the output's scale, and the extreme of each column."""

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from nnrules.graph.ops.concat import Concat
from nnrules.graph.ops.reduce import Reduce
from nnrules.graph.requant import Requantization, choose_multiplier

if TYPE_CHECKING:
    import onnx

    from nnrules.graph.lowering import Lowering


def lower_extreme(lowering: "Lowering", node: "onnx.NodeProto") -> None:
    """Add a Max or Min of activations: a rounding of each input, half up, then the comparison.

    Scales are positive, so that the integers are ordered as the numbers. What is smaller than the output is repeated.
    """
    tensors, view = lowering.alike(node)
    output = lowering.output(node)
    pairs = [choose_multiplier(each.scale / output.scale, 255, lowering.place(node)) for each in tensors]
    multiplier, shift = np.array([p[0] for p in pairs], np.int32), np.array([p[1] for p in pairs], np.uint8)
    rule = Requantization(multiplier, shift, output.zero_point, *output.bounds)
    rows = [lowering.reshaped(each, (1, each.size)) for each in tensors]
    both = msgspec.structs.replace(
        rows[0],
        name=f"{output.name}/both",
        shape=(len(rows), rows[0].size),
        scale=output.scale,
        zero_point=output.zero_point,
    )
    points = tuple(each.zero_point for each in rows)
    lowering.append(both.name, Concat(axis=0, x_zero_points=points, requantization=rule), [t.name for t in rows], both)
    lowering.add(node, Reduce(kind=node.op_type.lower(), begin=0, end=1), [both.name], view=view)
