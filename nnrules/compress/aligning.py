"""8-bit activations in front of a table to the few levels that a layer's quantizer chose.

Where such an activation has another reader too, or its operator has no thresholds, it is rounded twice:
to 8 bits, then to a level. That is the same as once where each border between two levels is one between two steps of
the 8 bits: where a level is an odd number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx

from nnrules.compress.hoisting import single
from nnrules.compress.parameters import Activation, chains
from nnrules.graph.qdq_reader import AFFINE, FUSABLE
from nnrules.graph.thresholds import MOST_LEVELS

Line = tuple[float, float]
FEW = 1 / 2  # of the steps that a level may have: fewer are not tried


def take_over(
    model: onnx.ModelProto, activations: Mapping[str, Activation], stated: Mapping[str, Activation]
) -> dict[str, Activation]:
    """``stated`` when an activation whose levels are 8 bits and cover what it had been given is all there is: what
    only cuts it to these goes from the model, in place."""
    found, numbers = dict(stated), single(model)
    makers = {node.output[0]: node for node in model.graph.node}
    inputs = {value.name for value in model.graph.input}
    for name, chosen in stated.items():
        clip = makers[name]
        value = clip.input[0]
        measured = activations.get(value)
        if clip.op_type != "Clip" or value in found or value in inputs or measured is None:
            continue
        low, high = (numbers[end] / chosen.scale for end in clip.input[1:])
        if high - low < MOST_LEVELS or not _covers(chosen, measured):
            continue
        for node in model.graph.node:
            node.input[:] = [value if each == name else each for each in node.input]
        model.graph.node.remove(clip)
        found[value] = found.pop(name)
    return found


def _covers(one: Activation, other: Activation) -> bool:
    """Whether the ends of one's int8 are not within the other's, but for a step."""
    ends = [[(end - each.zero_point) * each.scale for end in (-128, 127)] for each in (one, other)]
    return ends[0][0] <= ends[1][0] + one.scale and ends[0][1] >= ends[1][1] - one.scale


def align(
    model: onnx.ModelProto, activations: Mapping[str, Activation], stated: Mapping[str, Activation]
) -> dict[str, Activation]:
    """``activations`` when those in front of a table have their steps from its levels, and cover as much as before."""
    found = dict(activations)
    inputs = {value.name for value in model.graph.input}
    passed = chains(model, stated)
    finest: dict[str, tuple[float, float]] = {}
    for name, chosen in stated.items():
        value, (slope, offset) = _source(model, name, passed)
        if value in inputs or value in stated or value not in found:
            continue
        level = chosen.scale / slope
        if value not in finest or level > finest[value][0]:
            finest[value] = level, offset / chosen.scale
    for value, (level, shift) in finest.items():
        found[value] = _aligned(found[value], level, shift)
    return found


def _source(model: onnx.ModelProto, name: str, passed: Mapping[str, str]) -> tuple[str, Line]:
    """The quantized value from which a stated one follows by FUSABLE and AFFINE steps, and the line between the ends of
    their range: (slope, offset)."""
    numbers, makers = single(model), {node.output[0]: node for node in model.graph.node}
    slope, offset, value = 1.0, 0.0, name
    while (maker := makers.get(value)) is not None and maker.op_type in (*FUSABLE, *AFFINE):
        variable = [each for each in maker.input[:2] if each and each not in numbers]
        if len(variable) != 1:
            break
        if maker.op_type in AFFINE:
            number = numbers[next(each for each in maker.input if each in numbers)]
            factor, added = {
                "Mul": (number, 0.0),
                "Div": (1 / number, 0.0),
                "Add": (1.0, number),
                "Sub": (1.0, -number),
            }[maker.op_type]
            slope, offset = slope * factor, offset + slope * added
        value = variable[0]
        if value not in passed:
            break
    return value, (slope, offset)


def _aligned(given: Activation, level: float, shift: float) -> Activation:
    """Covering as much as ``given``, with an odd number of steps to a ``level`` such that the borders, ``shift`` levels
    from where they were without, are as near to ones between steps as can be."""
    most = math.floor(level / given.scale * (1 + 1e-6))
    counts = [count for count in range(max(1, math.ceil(most * FEW)), most + 1) if count % 2]
    if not counts:
        return given
    away = {count: abs(count * shift - round(count * shift)) for count in counts}
    best = min(counts, key=lambda count: (away[count] > 1e-6, round(away[count], 2), -count))
    scale = float(np.float32(level / best))
    low = (-128 - given.zero_point) * given.scale
    return Activation(scale, round(-128 - low / scale) if given.zero_point else 0)
