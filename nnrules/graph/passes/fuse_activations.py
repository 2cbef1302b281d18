"""Relu or Clip between two equal quantizations: the first one goes, so that the activation is fused into its layer."""

import numpy as np
import onnx

from nnrules.graph.importers.body import DEQUANTIZE, QUANTIZE, Body

MONOTONE = ("Relu", "Clip")


def run(body: Body) -> None:
    """x, Q, DQ, Relu, Q with one scale and zero point -> x, Relu, Q: the same integers, both steps being monotone and
    zero being a level of its own."""
    for node in [each for each in body.nodes if each.op_type in MONOTONE]:
        restored = body.producer.get(node.input[0])
        following = body.only_user(node.output[0])
        if restored is None or restored.op_type != DEQUANTIZE or following is None or following.op_type != QUANTIZE:
            continue
        first = body.producer.get(restored.input[0])
        if first is None or first.op_type != QUANTIZE or first.input[0] not in body.producer:
            continue
        alone = body.only_user(first.output[0]) is restored and body.only_user(restored.output[0]) is node
        if alone and _parameters(body, first) == _parameters(body, following) is not None:
            node.input[0] = first.input[0]
            body.index()


def _parameters(body: Body, node: onnx.NodeProto) -> tuple[object, ...] | None:
    known = [body.constant(value) for value in node.input[1:]]
    if any(each is None or np.size(each) != 1 for each in known):
        return None
    return tuple((str(each.dtype), each.tobytes()) for each in known if each is not None)
