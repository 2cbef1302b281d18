"""LogSoftmax -> d = x - max(x) and d - log(sum(exp(d))), in operators that have exact integers."""

import numpy as np

from nnrules.graph.importers.body import Body


def run(body: Body) -> None:
    """What is in between is quantized like everything else: by calibration, in a quantized model too."""
    for node in [each for each in body.nodes if each.op_type == "LogSoftmax"]:
        result = node.output[0]
        axes = body.add_constant(f"{result}/axes", np.array([body.attribute(node, "axis", -1)], np.int64))
        names = [
            body.fresh(f"{result}/{each}") for each in ("largest", "distance", "exponential", "total", "logarithm")
        ]
        largest, distance, exponential, total, logarithm = names
        nodes = [
            body.make("ReduceMax", [node.input[0], axes], largest, keepdims=1),
            body.make("Sub", [node.input[0], largest], distance),
            body.make("Exp", [distance], exponential),
            body.make("ReduceSum", [exponential, axes], total, keepdims=1),
            body.make("Log", [total], logarithm),
            body.make("Sub", [distance, logarithm], result),
        ]
        nodes[-1].name = node.name or result
        body.replace(node, nodes)
