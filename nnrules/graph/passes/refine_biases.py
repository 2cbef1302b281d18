"""Weights of few levels (2 bits, say) beside a real bias -> the same numbers in finer steps, and so a finer bias.

A bias is stored in steps of the input's scale times the weights', which are coarse where the weights are -1, 0 and 1.
"""

import numpy as np

from nnrules.graph.importers.body import DEQUANTIZE, Body

LARGEST = 127
LAYERS = ("Conv", "Gemm")


def run(body: Body) -> None:
    """The stored integers times the largest whole number that keeps them within 8 bits, where that is 2 or more."""
    for layer in [each for each in body.nodes if each.op_type in LAYERS and len(each.input) > 2]:
        source = body.producer.get(layer.input[1])
        if body.constant(layer.input[2]) is None or source is None or source.op_type != DEQUANTIZE:
            continue
        stored, scale, point = (body.constant(body.input(source, i)) for i in range(3))
        if stored is None or scale is None or stored.dtype != np.int8 or (point is not None and point.any()):
            continue
        factor = LARGEST // max(int(np.abs(stored.astype(np.int32)).max()), 1)
        if factor < 2:
            continue
        names = [
            body.add_constant(f"{source.input[0]}/refined", stored * np.int8(factor)),
            body.add_constant(f"{source.input[1]}/refined", (scale / factor).astype(np.float32)),
            *source.input[2:],
        ]
        result = body.fresh(f"{layer.input[1]}/refined")
        finer = body.make(DEQUANTIZE, names, result)
        finer.attribute.extend(source.attribute)
        body.insert_after(source, finer)
        layer.input[1] = result
        body.index()
