"""Clip of integers before a DequantizeLinear (Brevitas: narrow ranges) -> Clip of the real numbers."""

import numpy as np

from nnrules.graph.importers.body import QUANTIZE, Body


def run(body: Body) -> None:
    """Q, Clip(low, high) -> Clip((low - zero point) * scale, ...), Q: the same integers, rounding being monotone."""
    for node in [each for each in body.nodes if each.op_type == "Clip"]:
        source = body.producer.get(node.input[0])
        if source is None or source.op_type != QUANTIZE or body.only_user(source.output[0]) is not node:
            continue
        scale = body.constant(source.input[1])
        point = body.constant(source.input[2]) if body.input(source, 2) else np.uint8(0)
        bounds = [body.constant(value) if value else None for value in (body.input(node, 1), body.input(node, 2))]
        if scale is None or point is None or np.size(scale) != 1 or np.size(point) != 1:
            continue
        real = f"{source.input[0]}/clipped"
        names = [""] * 2
        for i, bound in enumerate(bounds):
            if bound is not None:
                value = (float(bound.reshape(-1)[0]) - float(np.reshape(point, -1)[0])) * float(scale.reshape(-1)[0])
                names[i] = body.add_constant(f"{real}/{'low' if i == 0 else 'high'}", np.float32(value))
        clip = body.make("Clip", [source.input[0], *names], body.fresh(real))
        result = node.output[0]
        source.input[0] = clip.output[0]
        source.output[0] = result
        body.nodes = [each for each in body.nodes if each is not node]
        i = next(i for i, each in enumerate(body.nodes) if each is source)
        body.nodes.insert(i, clip)
        body.index()
