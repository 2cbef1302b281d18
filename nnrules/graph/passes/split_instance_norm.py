"""InstanceNormalization -> LayerNormalization of each channel as a row, then a gain and a bias for each channel.

A GroupNorm, which torch exports as one over groups of channels in rows, is read by this too.
"""

import math

import numpy as np

from nnrules.graph.importers.body import Body
from nnrules.graph.passes.fold_batch_norm import real_constant


def run(body: Body) -> None:
    """The gain and bias are a BatchNormalization, left out where they do nothing."""
    for node in [each for each in body.nodes if each.op_type == "InstanceNormalization"]:
        shape = body.shapes().get(node.input[0], ((), 0))[0]
        gain, bias = (real_constant(body, value) for value in node.input[1:3])
        if len(shape) < 3 or gain is None or bias is None:
            continue
        result, channels, length = node.output[0], shape[1], math.prod(shape[2:])
        names = [body.fresh(f"{result}/{each}") for each in ("rows", "normalized")]
        sizes = [
            body.add_constant(f"{result}/shape", np.array(each, np.int64)) for each in ((1, channels, length), shape)
        ]
        ones = body.add_constant(f"{result}/ones", np.ones(length, np.float32))
        epsilon = body.attribute(node, "epsilon", 1e-5)
        plain = bool((gain == 1).all() and (bias == 0).all())
        seen = result if plain else body.fresh(f"{result}/seen")
        nodes = [
            body.make("Reshape", [node.input[0], sizes[0]], names[0]),
            body.make("LayerNormalization", [names[0], ones], names[1], axis=-1, epsilon=epsilon),
            body.make("Reshape", [names[1], sizes[1]], seen),
        ]
        nodes[1].name = node.name or result
        if not plain:
            values = (gain, bias, np.zeros(channels), np.ones(channels))
            constants = [body.add_constant(f"{result}/affine", each.astype(np.float32)) for each in values]
            nodes.append(body.make("BatchNormalization", [seen, *constants], result, epsilon=0.0))
        body.replace(node, nodes)
