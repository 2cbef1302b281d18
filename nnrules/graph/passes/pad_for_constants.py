"""Concat of constants with activations -> Pad with zeros, and the constants added: a class token, positions."""

import numpy as np

from nnrules.graph.importers.body import Body
from nnrules.graph.passes.fold_batch_norm import real_constant


def run(body: Body) -> None:
    """Where the constants, real or dequantized, stand before or behind all activations."""
    for node in [each for each in body.nodes if each.op_type == "Concat"]:
        shapes = body.shapes()
        constants = [real_constant(body, value) for value in node.input]
        moving = [i for i, constant in enumerate(constants) if constant is None]
        known = node.output[0] in shapes and all(value in shapes for value in node.input)
        if not known or not moving or len(moving) == len(constants) or moving[-1] - moving[0] >= len(moving):
            continue
        result, shape = node.output[0], shapes[node.output[0]][0]
        axis = body.attribute(node, "axis", 0) % len(shape)
        lengths = [shapes[value][0][axis] for value in node.input]
        begin, inside = sum(lengths[: moving[0]]), sum(lengths[moving[0] : moving[-1] + 1])
        filled = [np.zeros(shapes[v][0]) if c is None else c for v, c in zip(node.input, constants, strict=True)]
        pads = np.zeros((2, len(shape)), np.int64)
        pads[:, axis] = begin, sum(lengths) - begin - inside
        names = [body.fresh(f"{result}/{each}") for each in ("activations", "padded")]
        amounts = body.add_constant(f"{result}/pads", pads.reshape(-1))
        added = body.add_constant(f"{result}/constants", np.concatenate(filled, axis).astype(np.float32))
        joined, source = [], node.input[moving[0]]
        if len(moving) > 1:
            source = names[0]
            joined = [body.make("Concat", [node.input[i] for i in moving], source, axis=axis)]
        total = body.make("Add", [names[1], added], result)
        total.name = node.name or result
        body.replace(node, [*joined, body.make("Pad", [source, amounts], names[1]), total])
