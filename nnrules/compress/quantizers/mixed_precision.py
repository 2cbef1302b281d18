"""Bits of weights by layer, chosen so that the loss grows least while all weights take no more than a size.

What a layer costs is measured: the growth of the loss on calibration data, by real forward passes with the weights of
that layer alone rounded to a width. The growths of layers are taken to add up (Dong et al., HAWQ-V2, NeurIPS 2020,
arXiv:1911.03852, do so with curvatures), and the choice is then a multiple-choice knapsack, solved exactly. Bytes are
the same for all targets, as this choice is; a kernel's instructions are not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import onnx

from nnrules.catalog import quantizers
from nnrules.catalog.stages import QuantizeOptions
from nnrules.compress.after_training import Prepared, linear_layers, narrow_weights
from nnrules.compress.arrays import weights
from nnrules.compress.widths import widths
from nnrules.error import UserError
from nnrules.plan.knapsack import Choice, cheapest

WEIGHT_BITS = (2, 3, 4, 8)
ACTIVATION_BITS = (2, 3, 4, 8)
OPTIONS = ("base", "size", "activation_bits", "skip", "layers", "per_channel", "symmetric")

Loss = Callable[[onnx.ModelProto], float]


class Allotted(msgspec.Struct, frozen=True):
    """What a layer got: bits of its weights and its input, bytes of its weights; the growth of the loss by width, empty
    where the options said the bits."""

    weights: int
    inputs: int
    bytes: int
    growth: dict[str, float]


def allot(model: onnx.ModelProto, options: QuantizeOptions, loss: Loss, place: str) -> dict[str, Allotted]:
    """By layer, in the network's order. ``loss``: of a float model, on calibration data.

    Raises UserError where the size is less than what all layers take at their fewest bits.
    """
    layers = {node.name: node for node in linear_layers(model)}
    given = widths(list(layers), msgspec.structs.replace(options, method=options.base), place)
    known = [bits for bits in quantizers.method(options.base).weight_bits if bits in WEIGHT_BITS]
    counts = {name: weights(model, node.input[1]).size for name, node in layers.items()}
    exact = loss(model)
    growths: dict[str, dict[int, float]] = {}
    for name in layers:
        if name in options.layers or name in options.skip:
            growths[name] = {given[name].weights: 0.0}
            continue
        growths[name] = {}
        for bits in known:
            found = Prepared(onnx.ModelProto())
            found.model.CopyFrom(model)
            node = next(each for each in linear_layers(found.model) if each.name == name)
            narrow_weights(found, node, bits, options.per_channel is not False)
            growths[name][bits] = max(0.0, loss(found.model) - exact)
    chosen = choose(growths, counts, options.size, f"{place}.quantize.size={options.size}")
    return {
        name: Allotted(
            bits, given[name].inputs, size_of(counts[name], bits),
            {str(each): growth for each, growth in growths[name].items()} if len(growths[name]) > 1 else {},
        )
        for name, bits in chosen.items()
    }  # fmt: skip


def size_of(count: int, bits: int) -> int:
    """Bytes of so many weights."""
    return -(-count * bits // 8)


def choose(
    growths: Mapping[str, Mapping[int, float]], counts: Mapping[str, int], size: int | None, place: str
) -> dict[str, int]:
    """The width of each layer: the least sum of growths, of equal ones the fewest bytes."""
    names: Sequence[str] = list(growths)
    choices = [
        [Choice(growth, size_of(counts[name], bits)) for bits, growth in growths[name].items()] for name in names
    ]
    taken = cheapest(choices, weights=size)
    if taken is None:
        least = sum(min(choice.weights for choice in layer) for layer in choices)
        raise UserError(place, f"the weights take {least:,} bytes at their fewest bits", f"say {least} or more")
    return {name: list(growths[name])[number] for name, number in zip(names, taken, strict=True)}


def draw(found: Mapping[str, Allotted], path: Path) -> None:
    """A PNG: the bits of each layer, and below by how much the loss grows at each width."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    places = np.arange(len(found))
    above.bar(places, [each.weights for each in found.values()])
    above.set_ylabel("bits of weights")
    for bits in WEIGHT_BITS:
        growth = [each.growth.get(str(bits), np.nan) for each in found.values()]
        below.plot(places, growth, "o-", label=f"{bits} bits")
    below.set_yscale("symlog", linthresh=1e-4)
    below.set_ylabel("growth of the loss")
    below.legend()
    below.set_xticks(places, list(found), rotation=60, ha="right")
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)
